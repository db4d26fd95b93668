"""What is published: the wheel's contents and needs, links that lead somewhere, no large file, no one's own paths."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

import edgeseg
from edgeseg.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
LARGEST_BYTES = 8_000_000
LONGEST_LINES = 300

SYSTEM_FOLDERS = {"/", "/tmp", "/opt", "/usr", "/usr/src", "/srv", "/var", "/mnt", "/home"}
"""Where a checkout may lie, and what texts may name all the same."""

MADE = {"demo", "runs", "build", "dist"}
"""Folders that commands make; what a text says to be in them need not be there yet."""

INSTALLED = ("edgeseg", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without a network, from a copy, so that no build folder is left in the repository."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*INSTALLED, "tests", "apps"):
        entry = ROOT / name
        if entry.is_dir():
            shutil.copytree(entry, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy(entry, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(built), str(source)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    (path,) = built.iterdir()
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def needs(metadata: Message, extra: str | None) -> set[str]:
    """Names of the packages that the base install, or an extra, asks for."""
    lines: list[Any] = metadata.get_all("Requires-Dist") or []
    marker = f'extra == "{extra}"'
    wanted = [line for line in lines if (marker in line if extra else "extra ==" not in line)]
    return {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in wanted}


def test_nothing_but_edgeseg_is_installed(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names} == {"edgeseg", f"edgeseg-{edgeseg.__version__}.dist-info"}
    assert not [name for name in names if "__pycache__" in name]


def test_every_module_is_in_the_wheel(names: set[str]) -> None:
    """A folder without `__init__.py` would be left out without a word."""
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "edgeseg").rglob("*.py")}
    assert modules <= names


def test_types_weights_tables_and_licences_are_in_the_wheel(names: set[str]) -> None:
    dist_info = f"edgeseg-{edgeseg.__version__}.dist-info"
    assert {
        "edgeseg/py.typed",
        "edgeseg/assets/default.safetensors",
        "edgeseg/assets/MODEL_CARD.md",
        "edgeseg/engine/tensorrt_names.json",
        "edgeseg/web/static/index.html",
        "edgeseg/web/static/app.js",
        f"{dist_info}/licenses/LICENSE",
    } <= names


def test_the_base_install_is_the_device_side_without_a_runtime(metadata: Message) -> None:
    assert needs(metadata, None) == {"numpy", "opencv-python-headless", "tomli"}


def test_extras(metadata: Message) -> None:
    assert set(metadata.get_all("Provides-Extra") or []) == {
        "cpu",
        "gpu",
        "openvino",
        "tensorrt",
        "train",
        "web",
        "dev",
    }
    assert needs(metadata, "cpu") == {"onnxruntime"}
    assert needs(metadata, "gpu") == {"onnxruntime-gpu"}
    assert needs(metadata, "openvino") == {"openvino"}
    assert needs(metadata, "tensorrt") == {"tensorrt", "cuda-python", "onnx"}
    assert needs(metadata, "web") == {"starlette", "uvicorn"}
    assert {"torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "safetensors"} <= needs(metadata, "train")
    assert {"pytest", "ruff", "mypy", "import-linter"} <= needs(metadata, "dev")


def test_the_installed_package_runs_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import edgeseg, sys; from edgeseg.cli.main import main; print(edgeseg.__file__); main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == [str(tmp_path / "edgeseg" / "__init__.py"), "edgeseg", edgeseg.__version__]
    entry_points = next(tmp_path.glob("*.dist-info/entry_points.txt")).read_text()
    assert "edgeseg = edgeseg.cli.main:main" in entry_points


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is no list of tracked files")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_in_git_is_large(tracked: list[Path]) -> None:
    assert {path: path.stat().st_size for path in tracked if path.stat().st_size > LARGEST_BYTES} == {}


def test_no_path_of_a_machine_is_in_a_tracked_file(tracked: list[Path]) -> None:
    """This checkout's folder, the folder around it, and anyone's home."""
    own = {str(folder) for folder in (ROOT, ROOT.parent, Path.home())} - SYSTEM_FOLDERS
    places = [rf"{re.escape(folder)}(?![\w-])" for folder in sorted(own)]
    pattern = re.compile(rf"(?<![\w.])(?:{'|'.join(places)}|/(?:home|Users)/\w+)")
    found = {}
    for path in tracked:
        content = path.read_bytes()
        if b"\0" not in content and (match := pattern.search(content.decode())):
            found[path.relative_to(ROOT).as_posix()] = match[0]
    assert found == {}


def test_modules_are_short(tracked: list[Path]) -> None:
    lines = {path: len(path.read_text().splitlines()) for path in tracked if path.suffix == ".py" and ours(path)}
    assert {path: count for path, count in lines.items() if count > LONGEST_LINES} == {}


def ours(path: Path) -> bool:
    """Part of the program, not of its tests, which are lists of cases."""
    return path.relative_to(ROOT).parts[0] != "tests"


def documents() -> list[Path]:
    found = [
        path for path in ROOT.rglob("*.md") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]
    assert ROOT / "README.md" in found
    return found


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    broken = []
    for target in targets:
        address, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", address):
            continue
        path = (document.parent / address).resolve() if address else document
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


def anchors(document: Path) -> set[str]:
    """GitHub's anchors of a document's headings: lower case, punctuation dropped, spaces to hyphens."""
    headings = re.findall(r"^#+ +(.+)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_commands_that_are_named_exist(document: Path) -> None:
    text = document.read_text()
    folders = "|".join(re.escape(path.name) for path in ROOT.iterdir() if path.is_dir() and path.name not in MADE)
    named = re.findall(rf"(?<![\w/.-])((?:{folders})/[\w./-]*\w\.(?:py|toml|md|json|safetensors|jpg|png))\b", text)
    missing = [name for name in named if not (ROOT / name).exists() and not (document.parent / name).exists()]
    commands = set(re.findall(r"(?:^ +|`|&& )edgeseg ([a-z]+)\b", text, flags=re.MULTILINE))
    targets = set(re.findall(r"(?:^ +|`)make ([a-z-]+)\b", text, flags=re.MULTILINE))
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert (missing, commands - set(COMMANDS), targets - rules) == ([], set(), set())


def test_the_tree_in_the_readme_is_the_tree() -> None:
    text = (ROOT / "README.md").read_text()
    block = text[text.index("    edgeseg/  ") :].split("\n\n")[0]
    parent, shown = "", set()
    for line in block.splitlines():
        name = line.split()[0]
        if line.startswith("      "):
            shown.add(f"{parent}{name}")
        else:
            parent = name
            shown.add(name)
    missing = {name for name in shown if not (ROOT / name).is_dir()}
    packages = {f"edgeseg/{path.name}/" for path in (ROOT / "edgeseg").iterdir() if (path / "__init__.py").exists()}
    assert (missing, packages - shown) == (set(), set())

"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgeseg import files
from edgeseg.errors import OutputError


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "report.json"
    files.write_json(target, {"miou": 0.5})
    files.write_json(target, {"miou": 0.75})
    assert target.read_text() == '{\n  "miou": 0.75\n}\n'
    assert [path.name for path in target.parent.iterdir()] == ["report.json"]


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "weights.bin"
    files.write_bytes(target, b"old")

    def fail_halfway() -> None:
        with files.atomic_path(target) as temporary:
            temporary.write_bytes(b"half of the new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    files.write_bytes(target, b"old")
    script = (
        "import os, signal, sys\n"
        "from edgeseg.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(OutputError, match=r"file/report\.json: cannot be written"):
        files.write_text(in_the_way / "report.json", "x")


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.json" / "inside").mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot be written"):
        files.write_text(tmp_path / "report.json", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "report.json", {"miou": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_sha256_is_the_standard_one(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "abc", b"abc")  # FIPS 180-2, appendix B.1
    assert files.sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_group_is_written_whole(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    files.write_group({tmp_path / "a.png": b"new", tmp_path / "b" / "c.png": b"other"})
    assert (tmp_path / "a.png").read_bytes() == b"new"
    assert (tmp_path / "b" / "c.png").read_bytes() == b"other"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.png", "b", "c.png"]


def test_a_group_that_is_refused_names_the_file_and_leaves_nothing_torn(tmp_path: Path) -> None:
    (tmp_path / "in the way").touch()
    with pytest.raises(OutputError, match=r"in the way/b\.png: cannot be written"):
        files.write_group({tmp_path / "a.png": b"a", tmp_path / "in the way" / "b.png": b"b"})
    assert [path.name for path in tmp_path.iterdir()] == ["in the way"]

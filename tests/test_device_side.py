"""The device side starts fast and never needs torch."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
from tiny_bundle import tiny_bundle

import edgeseg.bench
import edgeseg.bundle
import edgeseg.cli
import edgeseg.engine
import edgeseg.runtime
import edgeseg.video
import edgeseg.web

ROOT = Path(__file__).resolve().parents[1]
IMPORT_LIMIT_S = 0.3

WORKSTATION_MODULES = {"edgeseg.runtime.torch_session"}

WITHOUT_WORKSTATION = """
    import sys
    for module in ("torch", "torchvision", "onnx", "safetensors", "matplotlib", "tensorrt", "cuda"):
        sys.modules[module] = None  # import now raises ImportError, as where it is not installed
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter from the repository, so that nothing is imported yet."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_import_takes_less_than_three_tenths_of_a_second() -> None:
    code = "import time; start = time.perf_counter(); import edgeseg; print(time.perf_counter() - start)"
    # The best of several: other programs can make an import slower, but none can make it faster.
    best = min(float(python(code).stdout) for _ in range(5))
    assert best < IMPORT_LIMIT_S


def test_importing_edgeseg_and_asking_for_help_loads_nothing_heavy() -> None:
    result = python("""
        import sys
        import edgeseg
        from edgeseg.cli.main import main
        try:
            main(["--help"])
        except SystemExit as end:
            assert end.code == 0
        heavy = {"cv2", "numpy", "torch", "onnx", "onnxruntime", "matplotlib"} & set(sys.modules)
        print("heavy:", sorted(heavy))
    """)
    assert "heavy: []" in result.stdout, result.stderr
    for command in ("export", "verify", "run", "doctor"):
        assert command in result.stdout


def device_modules() -> list[str]:
    packages = [
        edgeseg.bench,
        edgeseg.bundle,
        edgeseg.cli,
        edgeseg.engine,
        edgeseg.runtime,
        edgeseg.video,
        edgeseg.web,
    ]
    names = [
        module.name
        for package in packages
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    return sorted({"edgeseg", *names} - WORKSTATION_MODULES)


def test_device_modules_import_without_the_workstation_side() -> None:
    modules = device_modules()
    assert {"edgeseg.runtime.ort", "edgeseg.bundle.reader", "edgeseg.cli.verify", "edgeseg.engine.session"} <= set(
        modules
    )
    result = python(
        WITHOUT_WORKSTATION + "    import importlib\n    for name in sys.argv[1:]:\n"
        "        importlib.import_module(name)\n",
        *modules,
    )
    assert result.returncode == 0, result.stderr


def test_a_bundle_runs_and_verifies_without_the_workstation_side(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "road.edgeseg")
    np.save(tmp_path / "frame.npy", bundle.golden()[0].frame_bgr)
    result = python(
        WITHOUT_WORKSTATION
        + """
    import numpy as np
    from edgeseg import Bundle, Segmenter
    from edgeseg.cli.main import main
    frame = np.load(sys.argv[2])
    with Segmenter(Bundle.open(sys.argv[1]), threads=1) as segmenter:
        assert (segmenter(frame).labels == frame.argmax(axis=2)).all()
    sys.exit(main(["verify", sys.argv[1]]))
    """,
        str(bundle.path),
        str(tmp_path / "frame.npy"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("100.0000 %") == 4


def test_a_checkpoint_without_torch_is_an_install_command(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    result = python(
        WITHOUT_WORKSTATION
        + """
    from pathlib import Path
    from edgeseg.errors import UnavailableError
    from edgeseg.runtime import load_segmenter
    try:
        load_segmenter(Path(sys.argv[1]))
    except UnavailableError as error:
        print(error)
    """,
        str(tmp_path / "model.safetensors"),
    )
    assert "pip install 'edgeseg[train]'" in result.stdout, result.stderr

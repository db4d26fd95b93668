"""What is installed, and what is installed twice: Python, OpenCV, ONNX Runtime, OpenVINO, TensorRT, PyTorch, web."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

from edgeseg.doctor.host import Finding, Host
from edgeseg.video.opencv import parse_build

_ONNX_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
_OPENCVS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_TENSORRTS = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu13-bindings", "tensorrt-cu12-bindings")

_TRAIN_MODULES = (
    "torch",
    "torchvision",
    "onnx",
    "onnxscript",
    "onnx_ir",
    "onnxruntime",
    "safetensors",
    "tensorboard",
    "tqdm",
    "matplotlib",
)
"""What the extra [train] brings."""

_WEB_MODULES = ("starlette", "uvicorn")
"""What the extra [web] brings."""


def find_python(host: Host) -> Finding:
    """Python, numpy and edgeseg itself."""
    facts = {"python": platform.python_version(), "numpy": host.version("numpy")}
    return Finding("Python", f"{facts['python']}, numpy {facts['numpy']}, {platform.platform(terse=True)}", facts)


def find_opencv(host: Host) -> Finding:
    """OpenCV's version, its windows and its video readers."""
    packages = _installed(host, _OPENCVS)
    cv2 = host.load_module("cv2")
    build = parse_build(cv2.getBuildInformation(), cv2.__version__)
    facts = {
        "version": build.version,
        "gui": build.gui,
        "display": bool(host.environ.get("DISPLAY") or host.environ.get("WAYLAND_DISPLAY"))
        or not host.platform.startswith("linux"),
        "ffmpeg": build.ffmpeg,
        "gstreamer": build.gstreamer,
        "packages": packages,
    }
    has = [
        f"windows with {build.gui}" if build.gui else "no windows",
        "FFmpeg" if build.ffmpeg else "no FFmpeg",
        "GStreamer" if build.gstreamer else "no GStreamer",
    ]
    return Finding("OpenCV", f"{build.version}, {', '.join(has)}", facts, _twice(packages, keep="opencv-python"))


def find_onnxruntime(host: Host) -> Finding:
    """ONNX Runtime's version and execution providers, and whether two of its packages overwrite each other."""
    packages = _installed(host, _ONNX_RUNTIMES)
    twice = _twice(packages, keep="onnxruntime-gpu")
    facts: dict[str, Any] = {"version": None, "providers": [], "packages": packages}
    try:
        runtime = host.load_module("onnxruntime")
        facts.update(version=runtime.__version__, providers=list(runtime.get_available_providers()))
    except ModuleNotFoundError:
        return Finding("ONNX Runtime", "not installed", facts, twice)
    except (ImportError, AttributeError, OSError) as error:
        # What is left when one of two packages is removed: a folder without its native part.
        names = " ".join(packages) or "onnxruntime"
        mend = twice or f"pip uninstall -y {names} && pip install {next(iter(packages), 'onnxruntime')}"
        return Finding("ONNX Runtime", f"installed but broken ({error})", facts, mend)
    providers = ", ".join(name.removesuffix("ExecutionProvider") for name in facts["providers"])
    return Finding("ONNX Runtime", f"{facts['version']}, providers: {providers}", facts, twice)


def find_openvino(host: Host) -> Finding:
    """OpenVINO's version, by metadata: importing it takes half a second."""
    version = host.version("openvino")
    facts = {"version": version, "installed": host.has_module("openvino")}
    if not facts["installed"]:
        return Finding("OpenVINO", "not installed: another runtime for the CPU, pip install 'edgeseg[openvino]'", facts)
    return Finding("OpenVINO", version or "version unknown", facts)


def find_tensorrt(host: Host, gpus: Sequence[Any]) -> Finding:
    """TensorRT's version. From its metadata: without a driver even a `Runtime` object ends the process when used."""
    packages = _installed(host, _TENSORRTS)
    version = next(iter(packages.values()), None)
    facts = {"version": version, "packages": packages, "installed": host.has_module("tensorrt")}
    if not facts["installed"]:
        return Finding("TensorRT", "not installed", facts)
    unusable = "" if gpus else "; it cannot run here without a CUDA device"
    return Finding("TensorRT", f"{version or 'version unknown'}{unusable}", facts)


def find_workstation(host: Host) -> Finding:
    """PyTorch's and torchvision's version, by metadata because importing takes seconds, and what [train] lacks."""
    missing = [name for name in _TRAIN_MODULES if not host.has_module(name)]
    facts = {"torch": host.version("torch"), "torchvision": host.version("torchvision"), "missing": missing}
    if facts["torch"] is None:
        return Finding("PyTorch", "not installed: a machine that only runs bundles does not need it", facts)
    return Finding("PyTorch", f"{facts['torch']}, torchvision {facts['torchvision'] or 'not installed'}", facts)


def find_live_page(host: Host) -> Finding:
    """What [web] lacks, which `edgeseg serve` needs."""
    missing = [name for name in _WEB_MODULES if not host.has_module(name)]
    facts = {**{name: host.version(name) for name in _WEB_MODULES}, "missing": missing}
    if missing:
        return Finding("live page", "not installed: only edgeseg serve needs it", facts)
    return Finding("live page", ", ".join(f"{name} {facts[name]}" for name in _WEB_MODULES), facts)


def _installed(host: Host, names: Sequence[str]) -> dict[str, str]:
    versions = {name: host.version(name) for name in names}
    return {name: version for name, version in versions.items() if version is not None}


def _twice(packages: Mapping[str, str], keep: str) -> str | None:
    """How to mend several packages that unpack into the same folder; `None` if there is at most one."""
    if len(packages) < 2:
        return None
    names = " ".join(packages)
    chosen = keep if keep in packages else next(iter(packages))
    return (
        f"{' and '.join(packages)} overwrite each other. Remove all, then install one: "
        f"pip uninstall -y {names} && pip install {chosen}"
    )

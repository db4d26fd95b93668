from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from fake_driver import FakeDriver, no_library

from edgeseg.cli import main as cli
from edgeseg.doctor import Host, examine, machine_summary
from edgeseg.doctor.advice import COMMANDS
from edgeseg.doctor.cuda import find_cuda
from edgeseg.doctor.hardware import find_cameras, find_jetson, find_processor
from edgeseg.doctor.host import command_output, has_module, installed_version
from edgeseg.doctor.libraries import find_onnxruntime, find_opencv, find_openvino, find_tensorrt, find_workstation

QT_BUILD = """
  GUI:                           QT5
  Video I/O:
    FFMPEG:                      YES
    GStreamer:                   YES (1.20.3)
"""
HEADLESS_BUILD = QT_BUILD.replace("QT5", "NONE").replace("YES (1.20.3)", "NO")


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def made_up(
    root: Path,
    *,
    packages: dict[str, str] | None = None,
    modules: dict[str, Any] | None = None,
    build: str = HEADLESS_BUILD,
    **others: Any,
) -> Host:
    """A Linux machine with these files, distributions and modules, and neither a GPU nor commands."""
    found = {"cv2": SimpleNamespace(__version__="4.10.0", getBuildInformation=lambda: build), **(modules or {})}

    def load(name: str) -> Any:
        if name not in found:
            raise ModuleNotFoundError(f"No module named {name!r}")
        if isinstance(found[name], Exception):
            raise found[name]
        return found[name]

    settings: dict[str, Any] = {
        "root": root,
        "platform": "linux",
        "environ": {},
        "version": (packages or {}).get,
        "has_module": lambda name: name in found,
        "load_module": load,
        "load_library": no_library,
        "output": lambda _: None,
    }
    return Host(**{**settings, **others})


def runtime(*providers: str) -> SimpleNamespace:
    return SimpleNamespace(__version__="1.23.0", get_available_providers=lambda: list(providers))


class TestHardware:
    def test_processor_and_memory(self, tmp_path: Path) -> None:
        root = write(
            tmp_path,
            {
                "proc/cpuinfo": "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\n",
                "proc/meminfo": "MemTotal:        7860184 kB\nMemFree: 1 kB\n",
            },
        )
        facts = find_processor(made_up(root)).facts
        assert (facts["name"], facts["memory_gib"]) == ("ARMv8 Processor rev 1 (v8l)", 7.5)
        assert facts["threads"] >= 1

    def test_a_system_without_proc(self, tmp_path: Path) -> None:
        facts = find_processor(made_up(tmp_path)).facts
        assert facts["memory_gib"] is None
        assert facts["name"]

    def test_a_jetson(self, tmp_path: Path) -> None:
        root = write(
            tmp_path,
            {
                "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
                "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n",
            },
        )

        def nvpmodel(command: Sequence[str]) -> str | None:
            return "NV Power Mode: 15W\n0\n" if list(command) == ["nvpmodel", "-q"] else None

        found = find_jetson(made_up(root, output=nvpmodel))
        assert found.summary == "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3 (JetPack 6), power mode 15W"
        summary = machine_summary(made_up(root, output=nvpmodel))
        assert (summary["jetson"], summary["power_mode"]) == ("NVIDIA Jetson Orin Nano Developer Kit", "15W")

    def test_a_jetson_in_a_container_shows_its_governor_at_least(self, tmp_path: Path) -> None:
        root = write(
            tmp_path,
            {
                "proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0",
                "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
            },
        )
        facts = find_jetson(made_up(root)).facts
        assert facts["power_mode"] == "unknown (governor schedutil)"
        assert facts["l4t"] is None

    def test_other_boards_are_no_jetson(self, tmp_path: Path) -> None:
        root = write(tmp_path, {"proc/device-tree/model": "Raspberry Pi 5 Model B\0"})
        assert find_jetson(made_up(root)).facts == {"model": None}

    def test_cameras_without_their_metadata_files(self, tmp_path: Path) -> None:
        root = write(
            tmp_path,
            {
                "dev/video0": "",
                "dev/video1": "",
                "dev/video10": "",
                "dev/videodecoder": "",
                "sys/class/video4linux/video0/name": "HD Pro Webcam C920\n",
                "sys/class/video4linux/video0/index": "0\n",
                "sys/class/video4linux/video1/name": "HD Pro Webcam C920\n",
                "sys/class/video4linux/video1/index": "1\n",
            },
        )
        found = find_cameras(made_up(root))
        assert found.facts["devices"] == {"/dev/video0": "HD Pro Webcam C920", "/dev/video10": "unknown name"}
        assert found.mend is None

    def test_a_camera_that_may_not_be_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root = write(tmp_path, {"dev/video0": ""})
        monkeypatch.setattr("os.access", lambda *_: False)
        found = find_cameras(made_up(root))
        assert found.mend is not None
        assert "usermod -aG video" in found.mend


class TestCuda:
    def test_no_driver(self, tmp_path: Path) -> None:
        found = find_cuda(made_up(tmp_path))
        assert found.facts == {"driver": None, "devices": []}
        assert "libcuda.so.1" in found.summary
        assert "nvcuda.dll" in find_cuda(made_up(tmp_path, platform="win32")).summary

    def test_a_driver_with_a_device(self, tmp_path: Path) -> None:
        found = find_cuda(made_up(tmp_path, load_library=lambda _: FakeDriver()))
        assert found.summary == "driver for CUDA 12.6: Orin (sm_87)"
        assert found.facts["devices"] == [{"name": "Orin", "compute_capability": "8.7", "memory_gib": 8.0}]

    @pytest.mark.parametrize(("code", "said"), [(100, "finds no device"), (999, "error 999")])
    def test_a_driver_that_does_not_start(self, tmp_path: Path, code: int, said: str) -> None:
        found = find_cuda(made_up(tmp_path, load_library=lambda _: FakeDriver(code)))
        assert said in found.summary
        assert found.facts["devices"] == []
        assert found.mend is not None


class TestLibraries:
    def test_opencv(self, tmp_path: Path) -> None:
        facts = find_opencv(made_up(tmp_path, build=QT_BUILD, environ={"DISPLAY": ":0"})).facts
        assert (facts["version"], facts["gui"], facts["display"]) == ("4.10.0", "QT5", True)
        assert facts["ffmpeg"]
        assert facts["gstreamer"]
        assert find_opencv(made_up(tmp_path)).summary == "4.10.0, no windows, FFmpeg, no GStreamer"

    def test_two_opencvs(self, tmp_path: Path) -> None:
        packages = {"opencv-python": "4.10.0", "opencv-python-headless": "4.10.0"}
        mend = find_opencv(made_up(tmp_path, packages=packages)).mend
        assert mend is not None
        assert "pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python" in mend

    def test_one_onnxruntime(self, tmp_path: Path) -> None:
        modules = {"onnxruntime": runtime("CUDAExecutionProvider", "CPUExecutionProvider")}
        found = find_onnxruntime(made_up(tmp_path, packages={"onnxruntime-gpu": "1.23.0"}, modules=modules))
        assert found.summary == "1.23.0, providers: CUDA, CPU"
        assert found.mend is None

    def test_two_onnxruntimes_are_found_and_mended(self, tmp_path: Path) -> None:
        packages = {"onnxruntime": "1.23.0", "onnxruntime-gpu": "1.22.0"}
        modules = {"onnxruntime": runtime("CPUExecutionProvider")}
        mend = find_onnxruntime(made_up(tmp_path, packages=packages, modules=modules)).mend
        assert mend == (
            "onnxruntime and onnxruntime-gpu overwrite each other. Remove all, then install one: "
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
        )

    @pytest.mark.parametrize(
        "left", [SimpleNamespace(__version__="1.23.0"), ImportError("libonnxruntime.so: not found"), SimpleNamespace()]
    )
    def test_what_is_left_after_one_of_two_was_removed(self, tmp_path: Path, left: Any) -> None:
        host = made_up(tmp_path, packages={"onnxruntime-gpu": "1.22.0"}, modules={"onnxruntime": left})
        found = find_onnxruntime(host)
        assert "broken" in found.summary
        assert found.mend == "pip uninstall -y onnxruntime-gpu && pip install onnxruntime-gpu"
        assert found.facts["providers"] == []

    def test_no_onnxruntime(self, tmp_path: Path) -> None:
        found = find_onnxruntime(made_up(tmp_path))
        assert (found.summary, found.mend) == ("not installed", None)

    def test_tensorrt_is_told_from_its_metadata_alone(self, tmp_path: Path) -> None:
        # Loading the module here would raise: `modules` holds an exception in its place.
        host = made_up(
            tmp_path, packages={"tensorrt": "10.3.0"}, modules={"tensorrt": AssertionError("must not be loaded")}
        )
        assert find_tensorrt(host, []).summary == "10.3.0; it cannot run here without a CUDA device"
        assert find_tensorrt(host, ["a device"]).summary == "10.3.0"
        assert find_tensorrt(made_up(tmp_path), []).summary == "not installed"

    def test_openvino_by_its_metadata(self, tmp_path: Path) -> None:
        host = made_up(tmp_path, packages={"openvino": "2026.4.1"}, modules={"openvino": ImportError("not loaded")})
        assert find_openvino(host).summary == "2026.4.1"
        missing = find_openvino(made_up(tmp_path))
        assert missing.facts == {"version": None, "installed": False}
        assert "pip install 'edgeseg[openvino]'" in missing.summary
        assert "openvino" in examine(made_up(tmp_path)).to_dict()

    def test_torch_is_told_from_its_metadata_alone(self, tmp_path: Path) -> None:
        host = made_up(tmp_path, packages={"torch": "2.7.0"}, modules={"torch": AssertionError("must not be loaded")})
        found = find_workstation(host)
        assert found.summary == "2.7.0, torchvision not installed"
        assert "torch" not in found.facts["missing"]
        assert "torchvision" in found.facts["missing"]


class TestCommands:
    def obstacles(self, host: Host) -> dict[str, str | None]:
        commands = examine(host).commands
        return {name: None if obstacle is None else obstacle.install for name, obstacle in commands.items()}

    def test_a_bare_machine(self, tmp_path: Path) -> None:
        obstacles = self.obstacles(made_up(tmp_path))
        for command in ("train", "export", "parity", "evaluate CHECKPOINT"):
            assert obstacles[command] == "pip install 'edgeseg[train]'"
        for command in ("verify", "run --headless", "evaluate BUNDLE"):
            assert obstacles[command] == "pip install 'edgeseg[cpu]'"
        assert "opencv-python" in str(obstacles["run (in a window)"])

    def test_a_device_with_a_runtime_and_a_screen(self, tmp_path: Path) -> None:
        modules = {"onnxruntime": runtime("CPUExecutionProvider")}
        host = made_up(tmp_path, modules=modules, build=QT_BUILD, environ={"WAYLAND_DISPLAY": "wayland-0"})
        obstacles = self.obstacles(host)
        assert obstacles["verify"] is obstacles["run --headless"] is obstacles["run (in a window)"] is None
        assert obstacles["train"] is not None
        assert "ssh -X" in str(self.obstacles(made_up(tmp_path, modules=modules, build=QT_BUILD))["run (in a window)"])

    def test_the_live_page_needs_a_server_and_a_runtime(self, tmp_path: Path) -> None:
        server: dict[str, Any] = {"starlette": ModuleType("starlette"), "uvicorn": ModuleType("uvicorn")}
        models = {"onnxruntime": runtime("CPUExecutionProvider")}
        assert self.obstacles(made_up(tmp_path, modules=models))["serve"] == "pip install 'edgeseg[web]'"
        assert self.obstacles(made_up(tmp_path, modules=server))["serve"] == "pip install 'edgeseg[cpu]'"
        assert self.obstacles(made_up(tmp_path, modules={**models, **server}))["serve"] is None

    def test_the_cpu_package_is_advised_even_beside_a_gpu_which_no_command_uses(self, tmp_path: Path) -> None:
        desktop = made_up(tmp_path / "desktop", load_library=lambda _: FakeDriver())
        assert self.obstacles(desktop)["verify"] == "pip install 'edgeseg[cpu]'"

    def test_every_command_is_spoken_of(self) -> None:
        assert {name.split()[0] for name in COMMANDS} == set(cli.COMMANDS) - {"doctor"}

    def test_the_report_is_plain_data_with_all_mends(self, tmp_path: Path) -> None:
        packages = {"onnxruntime": "1.23.0", "onnxruntime-gpu": "1.22.0"}
        report = examine(made_up(tmp_path, packages=packages)).to_dict()
        assert report["onnxruntime"]["packages"] == packages
        assert len(report["mends"]) == 1
        assert report["commands"]["verify"] == {
            "works": False,
            "missing": "ONNX Runtime",
            "install": "pip install 'edgeseg[cpu]'",
        }


class TestHost:
    def test_this_machine(self) -> None:
        assert installed_version("pytest") == pytest.__version__
        assert installed_version("a-package-that-nobody-has") is None
        assert has_module("numpy")
        assert not has_module("a_module_that_nobody_has")

    def test_commands(self) -> None:
        assert command_output(["echo", "yes"]) == "yes\n"
        assert command_output(["false"]) is None
        assert command_output(["a-command-that-nobody-has"]) is None

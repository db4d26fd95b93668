"""A machine without a driver gets one line and exit code 3; with one, what its GPUs are is read through ctypes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fake_driver import ORIN, RTX_4070, FakeDriver, no_library

from edgeseg.engine import driver
from edgeseg.engine.driver import Gpu, find_gpus, import_tensorrt, require_gpu
from edgeseg.errors import BackendUnavailable


def loading(fake: FakeDriver) -> Any:
    return lambda _: fake


def test_a_gpu_as_the_driver_describes_it() -> None:
    (gpu,) = find_gpus(loading(FakeDriver()))
    assert gpu == Gpu(0, "Orin", (8, 7), 8 * 2**30, 8, True, "12.6", "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f")
    assert gpu.architecture == "sm_87"


def test_one_gpu_of_several() -> None:
    load = loading(FakeDriver(gpus=(ORIN, RTX_4070)))
    assert require_gpu(1, load).name == RTX_4070.name
    assert not require_gpu(1, load).integrated
    with pytest.raises(BackendUnavailable, match="no GPU 2 here; there is 0: Orin, 1: NVIDIA GeForce RTX 4070"):
        require_gpu(2, load)


@pytest.mark.parametrize(("platform", "library"), [("linux", "libcuda.so.1"), ("win32", "nvcuda.dll")])
def test_no_driver_is_one_line_with_what_to_do(platform: str, library: str) -> None:
    with pytest.raises(BackendUnavailable, match=library) as caught:
        require_gpu(0, no_library, platform)
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert "\n" not in message
    assert "JetPack" in message
    assert "--backend onnxruntime" in message


@pytest.mark.parametrize(
    ("code", "said"), [(100, "finds no device"), (34, "stub"), (803, "restart the machine"), (999, "error 999")]
)
def test_a_driver_that_does_not_start(code: int, said: str) -> None:
    with pytest.raises(BackendUnavailable, match=said):
        require_gpu(0, loading(FakeDriver(code)))


def test_a_driver_without_devices() -> None:
    with pytest.raises(BackendUnavailable, match="finds no device"):
        require_gpu(0, loading(FakeDriver(gpus=())))


@pytest.mark.parametrize(
    "function",
    [
        "cuDriverGetVersion",
        "cuDeviceGetCount",
        "cuDeviceGet",
        "cuDeviceGetName",
        "cuDeviceGetUuid",
        "cuDeviceGetAttribute",
        "cuDeviceTotalMem_v2",
    ],
)
def test_every_error_code_is_looked_at(function: str) -> None:
    with pytest.raises(BackendUnavailable, match=f"{function} gives error 201"):
        require_gpu(0, loading(FakeDriver(201, failing=function)))


class TestImportTensorrt:
    def test_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        with pytest.raises(BackendUnavailable, match=r"pip install 'edgeseg\[tensorrt\]'"):
            import_tensorrt()

    def test_missing_on_a_jetson(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        release = tmp_path / "nv_tegra_release"
        release.touch()
        monkeypatch.setattr(driver, "_TEGRA_RELEASE", release)
        with pytest.raises(BackendUnavailable, match="--system-site-packages"):
            import_tensorrt()

    def test_an_empty_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
        with pytest.raises(BackendUnavailable, match="damaged"):
            import_tensorrt()

"""What was not measured, and why: said in every report, because a figure that is not there is taken for a good one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgeseg.bench.config import BenchConfig
from edgeseg.bench.machine import MachineState
from edgeseg.bench.report import Measured, NotMeasured
from edgeseg.bench.steadiness import LONG_S
from edgeseg.types import GPU_BACKENDS


def not_measured(
    measured: Sequence[Measured],
    config: BenchConfig,
    state: MachineState,
    refused: Mapping[str, str],
    not_started: Mapping[str, str],
) -> Iterator[NotMeasured]:
    """A line each."""
    for label, why in refused.items():
        yield NotMeasured(label, why)
    yield from _end_to_end(measured, config)
    yield from _heat(measured, config, state)
    if not any(one.energy for one in measured):
        yield NotMeasured(
            "energy",
            "no counter may be read here: neither RAPL (Linux gives it to root: sudo chmod a+r "
            "/sys/class/powercap/intel-rapl:*/energy_uj) nor a Jetson's rails nor NVML",
        )
    if config.starts == 0:
        yield NotMeasured("start-up and memory", "--starts 0")
    else:
        yield NotMeasured(
            "a start from a cold disk", "the files were in the system's cache; the first start after a boot reads them"
        )
    for label, why in not_started.items():
        yield NotMeasured(f"start-up and memory of {label}", why)
    if any(one.start_up is not None and one.start_up.memory_dict() is None for one in measured):
        yield NotMeasured("memory", "this system has no /proc/self/status")
    if any(one.facts["backend"] in GPU_BACKENDS for one in measured):
        yield NotMeasured("the GPU's own memory", "what is given is the process's memory on the host")
    yield NotMeasured("whether the labels are right", "edgeseg verify BUNDLE does, with the bundle's golden frames")


def _end_to_end(measured: Sequence[Measured], config: BenchConfig) -> Iterator[NotMeasured]:
    if not config.end_to_end:
        yield NotMeasured("the camera loop: frame age, stages, overlay", "not asked for: --end-to-end")
        return
    for one in measured:
        if one.camera is None:
            yield NotMeasured(
                f"the camera loop of {one.label}", f"fewer than three pictures in {config.duration_s:g} s: --duration"
            )
    yield NotMeasured(
        "glass to glass", "camera, cable, decoding and screen take no part: frames were in memory, pictures thrown away"
    )
    if config.camera_fps is None:
        yield NotMeasured(
            "waiting for the camera", "the loop's camera always had a new frame; --camera-fps 30 makes it a real one"
        )


def _heat(measured: Sequence[Measured], config: BenchConfig, state: MachineState) -> Iterator[NotMeasured]:
    if len(measured) > 1:
        yield NotMeasured(
            "sustained against burst", "candidates took turns, so none ran alone for long: benchmark one by itself"
        )
    elif measured[0].steadiness is None:
        yield NotMeasured(
            "sustained against burst", f"{config.duration_s:g} s are too short for both; --duration 600 shows heat"
        )
    elif config.duration_s < LONG_S:
        yield NotMeasured("what heat does", f"{config.duration_s:g} s warm up no heat sink; --duration 600 does")
    if not state.temperatures_c:
        yield NotMeasured("temperatures", "no sensor can be read here")
    if state.clock_mhz is None:
        yield NotMeasured("clocks and governor", "this system does not tell them (no cpufreq in /sys)")

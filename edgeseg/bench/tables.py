"""The figures of a report as tables, which the terminal, Markdown and the page show alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgeseg.bench.ratios import Ratio
from edgeseg.bench.report import BenchmarkReport, Measured
from edgeseg.bench.summary import Summary

LATENCY = ("frames", "frames/s", "min", "mean", "p50", "p90", "p95", "p99", "max", "jitter")


@dataclass(frozen=True, slots=True)
class Table:
    """One table; the first column names the row."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    """How to read it, a sentence or two, for who reads at leisure."""
    found: str = ""
    """Further figures, in one line."""


def tables(report: BenchmarkReport) -> Iterator[Table]:
    """Those that there are figures for."""
    yield from _latency(report)
    yield from _ratios(report)
    yield from _stages(report)
    yield from _steadiness(report)
    yield from _starts(report)
    yield from _energy(report)
    yield from _comparison(report)


def measures(one: Measured) -> Iterator[tuple[str, float, Summary]]:
    """Name, frames a second and latencies of each way in which a candidate was measured."""
    yield "session", one.session_fps, one.session
    yield "frame to labels", one.whole_fps, one.whole
    if one.camera is not None:
        yield "camera loop (frame age)", one.camera.fps, one.camera.age


def _latency(report: BenchmarkReport) -> Iterator[Table]:
    """One candidate: a row for each measure. Several: a table for each, so that what is compared stands together."""
    note = (
        "session: the frame from the host's memory through the runtime, labels back in it. frame to "
        "labels: with checks and resizing on the host. camera loop: its rate, and how old a frame is when its painted "
        "picture is handed over; several are on their way at once. jitter: mean difference between neighbours."
    )
    if len(report.candidates) == 1:
        one = report.candidates[0]
        rows = tuple(_row(name, fps, summary) for name, fps, summary in measures(one))
        yield Table(f"{one.label} (ms)", ("", *LATENCY), rows, note)
        return
    names = list(dict.fromkeys(name for one in report.candidates for name, _, _ in measures(one)))
    for name in names:
        rows = tuple(
            _row(one.label, fps, summary)
            for one in report.candidates
            for found, fps, summary in measures(one)
            if found == name
        )
        yield Table(f"{name} (ms)", ("", *LATENCY), rows, note if name == names[-1] else "")


def _row(name: str, fps: float, summary: Summary) -> tuple[str, ...]:
    values = (summary.min_ms, summary.mean_ms, summary.p50_ms, summary.p90_ms, summary.p95_ms, summary.p99_ms)
    return (name, str(summary.count), f"{fps:.1f}", *map(milliseconds, (*values, summary.max_ms, summary.jitter_ms)))


def _ratios(report: BenchmarkReport) -> Iterator[Table]:
    rows = [
        (one.label, f"{one.ratio.speed:.3f} ×", f"{one.ratio.low:.3f} to {one.ratio.high:.3f}", verdict(one))
        for one in report.candidates
        if one.ratio is not None
    ]
    if rows:
        note = (
            f"The ratio of the session's medians in each of {report.config.rounds} rounds that were taken in turn: the "
            "median of those ratios and its 95 % bootstrap interval. It holds on a busy machine too."
        )
        title = f"times as fast as {report.candidates[0].label}"
        yield Table(title, ("", "speed", "95 % interval", "verdict"), tuple(rows), note)


def ratio_words(ratio: Ratio) -> str:
    """The ratio and its interval."""
    return f"{ratio.speed:.3f} × ({ratio.low:.3f} to {ratio.high:.3f})"


def verdict(one: Measured) -> str:
    """In words what the interval says."""
    if one.ratio is None or not one.ratio.decided:
        return "cannot be told apart"
    return "faster" if one.ratio.speed > 1 else "slower"


def _stages(report: BenchmarkReport) -> Iterator[Table]:
    for one in report.candidates:
        if one.camera is None:
            continue
        run = one.camera.report
        rows = [
            ("frame age" if stage == "total" else stage, *map(milliseconds, (times.p50, times.p95, times.p99)))
            for stage, times in run.stages.items()
        ]
        interval = one.camera.interval
        rows.append(("between pictures", *map(milliseconds, (interval.p50_ms, interval.p95_ms, interval.p99_ms))))
        found = f"{run.frames} frames, {run.dropped} dropped"
        if one.bare_fps is not None:
            share = one.camera.fps / one.bare_fps
            found += f"; {share:.0%} of the rate of the bare session, measured right before and after"
        note = "Stages run at the same time, each on another frame."
        yield Table(f"camera loop: {one.label} (ms)", ("stage", "p50", "p95", "p99"), tuple(rows), note, f"{found}.")


def _steadiness(report: BenchmarkReport) -> Iterator[Table]:
    rows = tuple(
        (one.label, milliseconds(found.burst_ms), milliseconds(found.sustained_ms), f"{found.slowdown:.3f} ×")
        for one in report.candidates
        if (found := one.steadiness) is not None
    )
    if rows:
        yield Table(
            "sustained against burst (ms)",
            ("", "first 2 s", "last third", "slower by"),
            rows,
            "Medians of the session.",
        )


def _starts(report: BenchmarkReport) -> Iterator[Table]:
    keys = ("total_ms", "python_ms", "import_ms", "open_ms", "first_frame_ms")
    rows = []
    for one in report.candidates:
        if one.start_up is not None:
            times, memory = one.start_up.to_dict(), one.start_up.memory_dict() or {}
            megabytes = (f"{memory[key]:.0f}" if key in memory else "–" for key in ("first_frame_mib", "peak_mib"))
            rows.append((one.label, *(f"{times[key]:.0f}" for key in keys), *megabytes))
    if rows:
        header = ("", "start to first labels", "python", "imports", "open", "first frame", "MiB then", "MiB at most")
        note = (
            f"Milliseconds and resident memory, from {report.config.starts} fresh processes: median times, most memory."
        )
        yield Table("start-up (ms) and memory", header, tuple(rows), note)


def _energy(report: BenchmarkReport) -> Iterator[Table]:
    rows = [
        (
            f"{one.label}: {part}",
            f"{found['joules_per_frame']:.4f}",
            _or_dash(found["joules_per_frame_above_idle"], ".4f"),
            f"{found['watts']:.2f}",
            _or_dash(found["idle_watts"], ".2f"),
        )
        for one in report.candidates
        for part, found in (one.energy or {}).items()
    ]
    if rows:
        header = ("", "J/frame", "J/frame above idle", "W", "W idle")
        yield Table("energy", header, tuple(rows), "While the sessions ran; everything else on the machine is in it.")


def _comparison(report: BenchmarkReport) -> Iterator[Table]:
    found = report.comparison
    if not found or not found["candidates"]:
        return
    rows = tuple(
        (
            one["label"],
            f"{one['session']['speed']:.3f} ×",
            f"{one['session']['low']:.3f} to {one['session']['high']:.3f}",
            f"{one['session_p95']:.3f} ×",
            "–" if one["end_to_end_fps"] is None else f"{one['end_to_end_fps']:.3f} ×",
        )
        for one in found["candidates"]
    )
    note = (
        "Above 1 is faster now. Two runs at two times: what else the machine did then is in the ratio and not in the "
        "interval. To decide between two bundles, name both in one run."
    )
    header = ("", "session", "95 % interval", "session p95", "camera loop")
    yield Table(f"times as fast as in {found['file']} ({found['created']})", header, rows, note)


def milliseconds(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def remarks(report: BenchmarkReport) -> Iterator[tuple[str, Sequence[str]]]:
    """Heading → lines: what to heed, and what was not measured."""
    heed = list(report.warnings)
    missing = [f"{one.what}: {one.why.rstrip('.')}." for one in report.not_measured]
    old = report.comparison
    if old is not None:
        heed += [f"said in {old['file']}: {line}" for line in old["old_warnings"]]
        missing += [f"{label} against {old['file']}: {why}." for label, why in old["left_out"].items()]
    if heed:
        yield "Heed", heed
    yield "Not measured", missing


def machine_line(report: BenchmarkReport) -> str:
    """The machine and its state in one line."""
    machine, before, after = report.machine, report.before, report.after
    parts = [f"{machine.get('name')}, {machine.get('threads')} threads, {machine.get('system')}"]
    parts += [f"{machine['jetson']}"] if machine.get("jetson") else []
    parts += [f"power mode {machine['power_mode']}"] if machine.get("power_mode") else []
    states: list[tuple[str, Callable[[float], str], float | None, float | None]] = [
        ("clock", lambda value: f"{value:.0f} MHz", before.clock_mhz, after.clock_mhz),
        (
            "hottest sensor",
            lambda value: f"{value:.0f} °C",
            _hottest(before.temperatures_c),
            _hottest(after.temperatures_c),
        ),
        ("load", lambda value: f"{value:.1f}", report.arrived.load_1min, after.load_1min),
    ]
    for name, form, first, last in states:
        if first is not None and last is not None:
            parts.append(f"{name} {form(first)} before, {form(last)} after")
    return "; ".join(parts)


def _hottest(temperatures_c: dict[str, float]) -> float | None:
    return max(temperatures_c.values(), default=None)

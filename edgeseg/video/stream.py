"""A whole run by its settings: overlay, sinks, keys and signals around the loop."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from edgeseg.errors import ConfigError
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.video.loop import run_loop
from edgeseg.video.overlay import Overlay
from edgeseg.video.sinks import LabelSink, Sink, VideoFileSink
from edgeseg.video.sources import Source
from edgeseg.video.stats import RunReport
from edgeseg.video.stopping import stop_on_signals
from edgeseg.video.window import Keyboard, open_window


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """What is made of a stream."""

    headless: bool = False
    """No window."""
    max_frames: int | None = None
    """Stop after this many frames."""
    output: Path | None = None
    """Video file for the painted pictures."""
    save_labels: Path | None = None
    """Folder for a label PNG of each frame."""
    alpha: float = 0.45
    """Weight of the class colours over the camera picture, 0 to 1."""
    classes: tuple[str, ...] | None = None
    """Draw these classes only; all if `None`."""
    mode: str = "blend"
    """One of `edgeseg.video.overlay.MODES`."""
    snapshots: Path = Path()
    """Folder for the pictures that the key "s" saves."""

    def __post_init__(self) -> None:
        if self.max_frames is not None and self.max_frames < 1:
            raise ConfigError(f"--max-frames {self.max_frames}: expected 1 or more, or nothing for all.")


def segment_stream(source: Source, segmenter: Segmenter, config: StreamConfig) -> RunReport:
    """Segment a source into a window and files until it ends, the window's q, SIGINT or SIGTERM; see `run_loop`.

    To be called in the main thread, which alone gets signals and may own a window. Raises `UnavailableError` where a
    window is wanted and cannot be, `ConfigError` for an output that would overwrite what is read.
    """
    _refuse_overwriting(source, config)
    overlay = Overlay(
        segmenter.label_map,
        alpha=config.alpha,
        classes=config.classes,
        mode=config.mode,
        banner=None if segmenter.degraded is None else f"DEGRADED: {segmenter.degraded}",
    )
    with ExitStack() as stack:
        stopped = stack.enter_context(stop_on_signals())
        sinks: list[Sink] = []
        if config.output is not None:
            sinks.append(stack.enter_context(VideoFileSink(config.output, fps=source.fps, live=source.live)))
        if config.save_labels is not None:
            sinks.append(stack.enter_context(LabelSink(config.save_labels)))
        keyboard = None
        if not config.headless:
            window = open_window()
            sinks.append(stack.enter_context(window))
            keyboard = Keyboard(window, overlay, config.snapshots, stopped)
        report = run_loop(
            source,
            segmenter,
            sinks,
            overlay=overlay,
            max_frames=config.max_frames,
            stopped=stopped,
            after_frame=keyboard,
        )
    if segmenter.host_resize:
        note = f"frames were resized to fit the graph ({segmenter.input_spec}); export with --camera-size to avoid it"
        report = replace(report, notes=(*report.notes, note))
    return report


def _refuse_overwriting(source: Source, config: StreamConfig) -> None:
    files = {path.resolve() for path in source.files}
    if config.output is not None and config.output.resolve() in files:
        raise ConfigError(f"--output {config.output} is the source itself. Name another file.")
    folder = None if config.save_labels is None else config.save_labels.resolve()
    if folder is not None and any(folder in path.parents and path.suffix.lower() == ".png" for path in files):
        raise ConfigError(f"--save-labels {config.save_labels} holds the source's own images. Name another folder.")

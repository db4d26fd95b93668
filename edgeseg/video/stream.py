"""A whole run by its settings: overlay, sinks, keys and signals around the loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeseg.errors import ConfigError
from edgeseg.labels import LabelMap
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.types import Frame, Labels, Segmentation
from edgeseg.video.colours import display_palette
from edgeseg.video.controls import Controls
from edgeseg.video.health import HealthMonitor
from edgeseg.video.loop import LoopConfig, run_loop
from edgeseg.video.overlay import Overlay
from edgeseg.video.pipeline.work import FrameMonitor, FrameSmoother
from edgeseg.video.scene.analyser import SceneAnalyser
from edgeseg.video.scene.birds_eye import BirdsEye, read_birds_eye
from edgeseg.video.scene.smoothing import Smoother
from edgeseg.video.scene.unknown import with_unknown
from edgeseg.video.sinks import JsonLinesSink, LabelSink, Sink, VideoFileSink
from edgeseg.video.sources import Source
from edgeseg.video.stats import RunReport
from edgeseg.video.stopping import stop_on_signals
from edgeseg.video.window import open_window


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
    json_lines: Path | None = None
    """File for a line of JSON for each frame."""
    smooth: bool = False
    """Smooth the labels over time; needs a bundle that gives its confidence."""
    unknown_below: float | None = None
    """No class where the model's confidence is below this, 0 to 1; needs a bundle that gives it too."""
    birds_eye: Path | None = None
    """JSON file with the homography from the picture to the ground, for distances."""
    health: bool = True
    """Watch the camera for faults."""
    deadline_ms: float | None = None
    """Count the frames that are older than this when they are shown."""
    in_flight: int = 1
    """Frames that may wait between two stages of the loop."""

    def __post_init__(self) -> None:
        if self.max_frames is not None and self.max_frames < 1:
            raise ConfigError(f"--max-frames {self.max_frames}: expected 1 or more, or nothing for all.")
        if self.unknown_below is not None and not 0 < self.unknown_below <= 1:
            raise ConfigError(f"--unknown-below {self.unknown_below}: expected a confidence above 0, at most 1.")
        if self.deadline_ms is not None and not 0 < self.deadline_ms < math.inf:
            raise ConfigError(f"--deadline {self.deadline_ms}: expected milliseconds above 0, or nothing for none.")
        if self.in_flight < 1:
            raise ConfigError(f"--in-flight {self.in_flight}: expected 1 or more frames between two stages.")

    def controls(self, label_map: LabelMap) -> Controls:
        """What a person may change of these settings during the run, as they stand before it."""
        return Controls(label_map, mode=self.mode, classes=self.classes)


def segment_stream(
    source: Source,
    segmenter: Segmenter,
    config: StreamConfig,
    *,
    extra_sinks: Sequence[Sink] = (),
    controls: Controls | None = None,
) -> RunReport:
    """Segment a source into a window and files until it ends, the window's q, SIGINT or SIGTERM; see `run_loop`.

    `extra_sinks` get the results too, and stay open. `controls`, made by `config.controls`, lets another thread pause,
    stop, change the overlay or ask for a snapshot.

    To be called in the main thread, which alone gets signals and may own a window. Raises `UnavailableError` where a
    window is wanted and cannot be, `ConfigError` for an output that would overwrite what is read.
    """
    _refuse_overwriting(source, config)
    controls = controls or config.controls(segmenter.label_map)
    label_map, smoother = segmenter.label_map, _smoother(segmenter, config)
    overlay = Overlay(label_map, alpha=config.alpha, classes=controls.classes, mode=controls.mode)
    homography = None if config.birds_eye is None else read_birds_eye(config.birds_eye)
    analyser = SceneAnalyser(label_map, homography=homography, fps=None if source.live else source.fps)
    with ExitStack() as stack:
        stopped = stack.enter_context(stop_on_signals())
        sinks = [*extra_sinks, *(stack.enter_context(sink) for sink in _file_sinks(source, config))]
        if not config.headless:
            sinks.append(stack.enter_context(open_window(controls)))
        report = run_loop(
            source,
            segmenter,
            sinks,
            overlay=overlay,
            analyser=analyser if sinks else None,
            monitor=_monitor(source, config),
            smoother=smoother,
            inset=None if homography is None else _top_view(homography, label_map),
            controls=controls,
            config=LoopConfig(config.in_flight, config.deadline_ms, snapshots=config.snapshots),
            max_frames=config.max_frames,
            stopped=stopped,
            degraded=segmenter.degraded,
        )
    if segmenter.host_resize:
        note = f"frames were resized to fit the graph ({segmenter.input_spec}); export with --camera-size to avoid it"
        report = replace(report, notes=(*report.notes, note))
    return report


def _file_sinks(source: Source, config: StreamConfig) -> Iterator[Sink]:
    if config.output is not None:
        yield VideoFileSink(config.output, fps=source.fps, live=source.live)
    if config.save_labels is not None:
        yield LabelSink(config.save_labels)
    if config.json_lines is not None:
        yield JsonLinesSink(config.json_lines, source)


def _top_view(homography: BirdsEye, label_map: LabelMap) -> Callable[[Labels], Frame]:
    """What draws labels as seen from above, in the overlay's colours."""
    colours_bgr = np.zeros((256, 3), np.uint8)
    colours_bgr[: len(label_map)] = np.array(display_palette(label_map), np.uint8)[:, ::-1]
    return lambda labels: colours_bgr[homography.top_view(labels)]


def _monitor(source: Source, config: StreamConfig) -> FrameMonitor | None:
    """Who watches the camera; nobody where there is none: a folder of pictures has no rate."""
    if not config.health or not (source.live or source.fps):
        return None
    return HealthMonitor(source.fps)


def _smoother(segmenter: Segmenter, config: StreamConfig) -> FrameSmoother | None:
    """What changes the labels: first they are smoothed, then those of which the model is not sure are taken away."""
    below = config.unknown_below
    for option, asked in (("--smooth", config.smooth), ("--unknown-below", below is not None)):
        if asked and not segmenter.gives_confidence:
            raise ConfigError(f"{option}: this bundle gives no confidence. Export it with --confidence.")
    smooth = Smoother(segmenter.label_map) if config.smooth else None
    if below is None:
        return smooth

    def smoother(segmentation: Segmentation, frame_bgr: Frame) -> Segmentation:
        smoothed = segmentation if smooth is None else smooth(segmentation, frame_bgr)
        return with_unknown(smoothed, below)

    return smoother


def _refuse_overwriting(source: Source, config: StreamConfig) -> None:
    files = {path.resolve() for path in source.files}
    for option, path in (("--output", config.output), ("--json-lines", config.json_lines)):
        if path is not None and path.resolve() in files:
            raise ConfigError(f"{option} {path} is the source itself. Name another file.")
    if config.json_lines is not None and config.json_lines.resolve() in files:
        raise ConfigError(f"--json-lines {config.json_lines} is the source itself. Name another file.")
    folder = None if config.save_labels is None else config.save_labels.resolve()
    if folder is not None and any(folder in path.parents and path.suffix.lower() == ".png" for path in files):
        raise ConfigError(f"--save-labels {config.save_labels} holds the source's own images. Name another folder.")

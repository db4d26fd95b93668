"""Is a calibration set fit for use? Leakage, noise and blank frames are refused; what it lacks is said."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from edgeseg.errors import GateError
from edgeseg.quantize.calibration_set import CalibrationSet
from edgeseg.quantize.frame_source import FrameSource
from edgeseg.quantize.look import NEAR_BITS, Look, look_at
from edgeseg.quantize.stratify import BRIGHTNESS_STEPS

LEAST_FRAMES = 32
"""Fewer are worth a word: single frames decide the ranges then. Measured on the default model and CamVid train, spans
against those of 96 frames, 5th to 95th percentile of its tensors: by squared error 0.94 to 1.05 with 32 frames, 0.81 to
1.04 with 8; min-max 0.82 to 1 with 32, 0.63 to 1 with 8."""
MUCH_ALIKE = 0.25
"""Share of frames with a near-duplicate in the set from which on it is smaller than it looks."""

_NAMED = 5
"""Frames that a finding names; the others are counted."""

Kind = Literal[
    "leakage",
    "noise",
    "blank",
    "fixed camera",
    "too few frames",
    "missing classes",
    "only daylight",
    "one scene",
    "duplicates",
]
_ERRORS: tuple[Kind, ...] = ("leakage", "noise", "blank")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a set, or that it lacks."""

    kind: Kind
    text: str

    @property
    def is_error(self) -> bool:
        """Whether no set with it may be used; else it is worth a look."""
        return self.kind in _ERRORS


@dataclass(frozen=True)
class AuditReport:
    """What was found, and the figures that a person judges the rest by."""

    digest: str
    frames: int
    scenes: dict[str, int]
    """Frames by scene."""
    brightness: tuple[float, float, float]
    """Least, median and largest mean grey value, 0 to 255."""
    dark: int
    """Frames with a mean grey value below 60."""
    classes: dict[str, int] | None
    """Frames in which each class is shown; None without labels."""
    compared: dict[str, int]
    """What the set must have no frame of, and how many frames that is."""
    findings: tuple[Finding, ...] = field(default=())
    hint: str = ""
    """What to do about leakage besides, as a sentence; empty: nothing."""

    @property
    def passed(self) -> bool:
        """Whether there is no error; warnings may be."""
        return not any(finding.is_error for finding in self.findings)

    def raise_if_failed(self) -> None:
        """Raise `GateError` with all errors."""
        if not self.passed:
            errors = "; ".join(f"{found.kind}: {found.text}" for found in self.findings if found.is_error)
            hint = f" {self.hint}" if self.hint else ""
            raise GateError(f"the calibration set is refused: {errors}. Choose other frames to calibrate on.{hint}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON and manifests."""
        return {
            "digest": self.digest,
            "frames": self.frames,
            "scenes": dict(self.scenes),
            "brightness": [round(value, 1) for value in self.brightness],
            "dark": self.dark,
            "classes": None if self.classes is None else dict(self.classes),
            "compared": dict(self.compared),
            "findings": [{"kind": found.kind, "error": found.is_error, "text": found.text} for found in self.findings],
        }


def audit(
    calibration: CalibrationSet,
    *,
    against: Collection[FrameSource] = (),
    classes: Sequence[str] | None = None,
    fixed_camera: bool = False,
    progress: Callable[[int], None] | None = None,
) -> AuditReport:
    """Read every frame of the set, and every one of the sources it is held `against`: those that are measured on.

    A frame leaks where its pixels, a picture much like it (resized, compressed, next in the video) or, within one
    dataset, its name is in one of those. With `fixed_camera` looks alone are a warning, if the set's own frames look
    alike too: a camera on a pole always shows much the same, and only pixels and names tell its frames apart. `classes`
    are the model's; default: the set's own. `progress` is told how many frames were read. Raises `DataError` for what
    cannot be read.
    """
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done)

    names, looks = [], []
    for named in calibration.named():
        names.append(named.name)
        looks.append(look_at(named.frame_bgr))
        tick()
    bits = np.stack([look.bits for look in looks])
    places = {(frame.source.place, frame.name): number for number, frame in enumerate(calibration.frames)}
    by_pixels = {look.sha256: number for number, look in enumerate(looks)}
    leaks: dict[int, str] = {}
    alike: dict[int, str] = {}
    compared: dict[str, int] = {}
    for source in against:
        compared[source.title] = 0
        for other in source.open().read():
            look = look_at(other.frame_bgr)
            label = f"{other.name} of {source.title}"
            for number in np.flatnonzero(np.count_nonzero(bits != look.bits, axis=1) <= NEAR_BITS).tolist():
                if not (look.is_constant or looks[number].is_constant):
                    alike.setdefault(number, f"{names[number]} looks like {label}")
            if (place := places.get((source.place, other.name))) is not None and source.format is not None:
                leaks[place] = f"{names[place]} is {label} by name"
            if (same := by_pixels.get(look.sha256)) is not None:
                leaks[same] = f"{names[same]} is {label}"
            compared[source.title] += 1
            tick()
    hint = ""
    if alike and not (fixed_camera and _one_view(bits)):
        if fixed_camera:
            hint = "Its camera moves: its own frames look unlike each other, so --fixed-camera does not hold."
        elif not leaks:
            hint = "If the camera never moves, say so with --fixed-camera."
        leaks = alike | leaks
    shown = _shown(calibration, classes)
    dark = sum(look.brightness < BRIGHTNESS_STEPS[0] for look in looks)
    scenes: dict[str, int] = {}
    for frame in calibration.frames:
        scenes[frame.scene] = scenes.get(frame.scene, 0) + 1
    findings = [
        *_group("leakage", [leaks[number] for number in sorted(leaks)], len(looks)),
        *_group("noise", [name for name, look in zip(names, looks, strict=True) if look.is_noise], len(looks)),
        *_group("blank", [name for name, look in zip(names, looks, strict=True) if look.is_constant], len(looks)),
        *_group("fixed camera", [alike[number] for number in sorted(alike) if number not in leaks], len(looks)),
        *_lacks(len(looks), dark, scenes, shown),
        *_alike(bits, looks),
    ]
    brightness = np.array([look.brightness for look in looks])
    span = (float(brightness.min()), float(np.median(brightness)), float(brightness.max()))
    return AuditReport(
        calibration.digest,
        len(looks),
        scenes,
        span,
        dark,
        shown,
        compared,
        tuple(findings),
        hint=hint,
    )


def _one_view(bits: np.ndarray[Any, np.dtype[np.bool_]]) -> bool:
    """Whether half of the frames or more have another like them, as on a pole, by day and by night.

    Measured on four clips from driving cars, a frame in ten: a tenth of all pairs differ in fewer than 37 to 80 bits.
    """
    near = np.array([np.count_nonzero(bits != row, axis=1) <= NEAR_BITS for row in bits])
    return bool((near.sum(axis=1) > 1).mean() >= 0.5)


def _shown(calibration: CalibrationSet, classes: Sequence[str] | None) -> dict[str, int] | None:
    """Frames in which each class is shown."""
    if calibration.classes is None:
        return None
    wanted = calibration.classes if classes is None else classes
    return {name: sum(name in (frame.classes or ()) for frame in calibration.frames) for name in wanted}


def _group(kind: Kind, texts: Sequence[str], frames: int) -> list[Finding]:
    if not texts:
        return []
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return [Finding(kind, f"{len(texts)} of {frames} frames: {', '.join(texts[:_NAMED])}{more}")]


def _lacks(frames: int, dark: int, scenes: dict[str, int], shown: dict[str, int] | None) -> list[Finding]:
    findings = []
    if frames < LEAST_FRAMES:
        findings.append(Finding("too few frames", f"{frames}; with fewer than {LEAST_FRAMES}, single frames decide"))
    if missing := [name for name, count in (shown or {}).items() if not count]:
        findings.append(Finding("missing classes", f"no frame shows {', '.join(missing)}"))
    if not dark:
        text = f"no frame is dark (mean grey value below {BRIGHTNESS_STEPS[0]:.0f}); add dusk, night or a tunnel"
        findings.append(Finding("only daylight", text))
    if len(scenes) == 1:
        findings.append(Finding("one scene", "all frames are of one sequence; add others, of other places and days"))
    return findings


def _alike(bits: np.ndarray[Any, np.dtype[np.bool_]], looks: Sequence[Look]) -> list[Finding]:
    """Frames that repeat, or nearly repeat, one before."""
    twins = sum(bool((np.count_nonzero(bits[:at] != bits[at], axis=1) <= NEAR_BITS).any()) for at in range(len(looks)))
    same = len(looks) - len({look.sha256 for look in looks})
    if same or twins >= MUCH_ALIKE * len(looks):
        text = f"{twins} of {len(looks)} frames look like one before, {same} are the very same"
        return [Finding("duplicates", f"{text}: the set is smaller than it seems")]
    return []

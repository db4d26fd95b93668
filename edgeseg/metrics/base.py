"""What every metric beside the confusion matrix is: counts gathered frame after frame, and a result made of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeseg.data import Sample
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import LabelMap
from edgeseg.metrics.confusion import require_label_maps
from edgeseg.types import Labels

Scores: TypeAlias = NDArray[np.float32]
"""Probability of each class at each pixel: float32 (classes, H, W), 0 to 1, at the frame's own size."""


class Scored(NamedTuple):
    """What a model that gives more than labels says of a frame."""

    labels: Labels
    scores: Scores


_Self = TypeVar("_Self", bound="Metric")


@dataclass(frozen=True, slots=True)
class MetricConfig:
    """Settings of the metrics; what a metric does not read does not concern it."""

    boundary_ratio: float = 0.02
    """Width of the boundary band of `boundary`, as a share of the image diagonal (Cheng et al., CVPR 2021)."""
    trimap_widths_px: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Distances to the nearest boundary of the truth that `trimap` reports, in pixels."""
    object_class: str | None = None
    """Class whose objects `objects` counts; None takes the pedestrian, whatever the label map calls it."""
    object_heights_px: tuple[int, ...] = (15, 30, 80)
    """Where one size of `objects` ends and the next begins, in pixels of height."""
    object_min_pixels: int = 10
    """Smaller components are specks of the drawing, not objects."""

    def __post_init__(self) -> None:
        if not 0 < self.boundary_ratio < 1:
            raise ConfigError(
                f"boundary_ratio={self.boundary_ratio}: expected a share of the diagonal between 0 and 1."
            )
        for name in ("trimap_widths_px", "object_heights_px"):
            values = getattr(self, name)
            if not values or min(values) < 1 or sorted(set(values)) != list(values):
                raise ConfigError(f"{name}={values}: expected pixels, 1 or more, each larger than the one before.")
        if self.object_min_pixels < 1:
            raise ConfigError(f"object_min_pixels={self.object_min_pixels}: an object has at least 1 pixel.")


DEFAULTS = MetricConfig()


@dataclass(frozen=True, slots=True)
class Table:
    """A result for the screen."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


class MetricResult(Protocol):
    """What a metric found."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; fractions from 0 to 1, None where there was nothing to measure."""
        ...

    def table(self) -> Table:
        """The same in percent, for a person."""
        ...


class Metric(ABC):
    """Counts over frames; those of disjoint frames add up with `+`, so that processes can share a dataset.

    Pixels whose truth is void count nowhere.
    """

    uses_scores = False
    """Whether it says more where the model gives scores beside its labels."""

    def __init__(self, label_map: LabelMap, config: MetricConfig = DEFAULTS) -> None:
        """Raises `ConfigError` where the label map has no class that the metric needs."""
        self.label_map = label_map
        self.config = config
        self.frames = 0

    def update(self, sample: Sample, prediction: Labels, scores: Scores | None = None) -> None:
        """Count one frame: `prediction` uint8 (H, W) of class ids, `scores` where the model gives them.

        Raises `DataError` for shapes that differ, another dtype or an id that is no class; then nothing is counted.
        """
        require_label_maps(sample.labels, prediction)
        self._require_ids(prediction)
        expected = (len(self.label_map), *prediction.shape)
        if scores is not None and scores.shape != expected:
            raise DataError(f"scores of shape {scores.shape} for these labels; expected {expected}.")
        self._count(sample, prediction, scores)
        self.frames += 1

    def __add__(self: _Self, other: _Self) -> _Self:
        """Both together; raises `ConfigError` for another metric, other classes or other settings."""
        if type(self) is not type(other) or self.label_map != other.label_map or self.config != other.config:
            raise ConfigError(f"a {type(self).__name__} adds up only with one of the same classes and settings.")
        total = type(self)(self.label_map, self.config)
        for part in (self, other):
            total._absorb(part)
            total.frames += part.frames
        return total

    def _require_ids(self, prediction: Labels) -> None:
        highest = len(self.label_map) - 1
        if prediction.size and int(prediction.max()) > highest:
            raise DataError(f"prediction has id {prediction.max()}; classes are 0..{highest}.")

    @abstractmethod
    def result(self) -> MetricResult:
        """What the counts say so far; also of no frame at all."""

    @abstractmethod
    def _count(self, sample: Sample, prediction: Labels, scores: Scores | None) -> None:
        """Add one frame, whose shapes and predicted ids have been checked."""

    @abstractmethod
    def _absorb(self: _Self, other: _Self) -> None:
        """Add the counts of `other`, which has the same classes and settings."""


def ratio(part: int | np.integer[Any], whole: int | np.integer[Any]) -> float | None:
    """`part / whole`, None where `whole` is zero."""
    return int(part) / int(whole) if whole else None


def mean_or_none(values: list[float | None]) -> float | None:
    """Mean of those that are not None; None where there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def percent(value: float | None, digits: int = 2) -> str:
    """`0.5` → "50.00", None → "-"."""
    return "-" if value is None else f"{100 * value:.{digits}f}"

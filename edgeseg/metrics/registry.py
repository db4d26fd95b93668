"""The table of metrics beside the confusion matrix, and how they are opened by name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from edgeseg.errors import ConfigError
from edgeseg.labels import LabelMap
from edgeseg.metrics.base import DEFAULTS, Metric, MetricConfig

METRICS = {
    "boundary": "edgeseg.metrics.boundary:BoundaryIoU",
    "trimap": "edgeseg.metrics.trimap:Trimap",
    "kitti-road": "edgeseg.metrics.kitti_road:KittiRoad",
    "objects": "edgeseg.metrics.objects:ObjectRecall",
    "free-space": "edgeseg.metrics.free_space:FreeSpace",
    "flicker": "edgeseg.metrics.flicker:Flicker",
}
"""Name → module:class, a `Metric`, loaded when first used. A new metric is one file and one line here."""

ALL = "all"


@dataclass(frozen=True, slots=True)
class OpenedMetrics:
    """Metrics ready to count, and why others, that nobody asked for by name, were left out."""

    metrics: dict[str, Metric]
    left_out: dict[str, str]


def open_metrics(names: str, label_map: LabelMap, config: MetricConfig = DEFAULTS) -> OpenedMetrics:
    """Metrics by their names, with commas between; `all` takes every one that the label map has classes for.

    Raises `ConfigError` for an unknown name, and where a metric that is named needs a class that is not there.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in METRICS and name != ALL]
    if unknown or not wanted:
        raise ConfigError(f"metrics {names!r}: choose from {', '.join(METRICS)}, with commas between, or {ALL}.")
    metrics: dict[str, Metric] = {}
    left_out: dict[str, str] = {}
    for name in METRICS if ALL in wanted else dict.fromkeys(wanted):
        found = _open(name, label_map, config)
        if isinstance(found, Metric):
            metrics[name] = found
        elif name in wanted:
            raise found
        else:
            left_out[name] = str(found)
    return OpenedMetrics(metrics, left_out)


def _open(name: str, label_map: LabelMap, config: MetricConfig) -> Metric | ConfigError:
    """The metric, or why it cannot be had."""
    module, _, attribute = METRICS[name].partition(":")
    metric_type: type[Metric] = getattr(importlib.import_module(module), attribute)
    try:
        return metric_type(label_map, config)
    except ConfigError as error:
        return error

"""The metrics on real scenes, with the default model, which was trained on CamVid val too: this is no benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseg import open_source
from edgeseg.data import Sample, open_dataset
from edgeseg.labels import CAMVID, KITTI_ROAD
from edgeseg.metrics.evaluate import evaluate
from edgeseg.metrics.flicker import Flicker
from edgeseg.metrics.kitti_road import KittiRoad
from edgeseg.metrics.registry import METRICS, open_metrics
from edgeseg.runtime import load_segmenter
from edgeseg.types import Frame

pytestmark = pytest.mark.real_data


def test_kitti_road(shared_data: Path) -> None:
    """CamVid's road against the rest, on two frames of another city and camera."""
    pytest.importorskip("torch")
    from edgeseg.metrics.base import Scored
    from edgeseg.metrics.scored import ScoredModel

    model, road = ScoredModel(None), CAMVID.names.index("road")

    def road_or_rest(frame_bgr: Frame) -> Scored:
        labels, scores = model(frame_bgr)
        return Scored((labels == road).astype(np.uint8), np.stack([1 - scores[road], scores[road]]))

    metric = KittiRoad(KITTI_ROAD)
    dataset = open_dataset("kitti-road", shared_data / "kitti-road-sample", "all")
    result = evaluate(dataset, road_or_rest, KITTI_ROAD, metrics=[metric])
    found = metric.result()
    assert found.max_f is not None
    assert found.average_precision is not None
    assert found.labels.f1 == pytest.approx(result.f1["road"])
    # It finds the road, but takes the tram's track and the cycle lane beside it, both asphalt, for road too.
    assert found.best is not None
    assert found.labels.recall == pytest.approx(1.0, abs=0.01)
    assert found.labels.f1 is not None
    assert found.labels.f1 - 0.01 < found.max_f < 0.9
    assert 0.5 < found.average_precision < found.max_f


def test_a_clip_with_truth_frame_by_frame(shared_data: Path) -> None:
    """Frame i of the clip is sample i of val: its truth hardly changes once motion is taken out, and never cuts."""
    dataset = open_dataset("camvid", shared_data / "camvid", "val")
    metric = Flicker(CAMVID)
    with open_source(shared_data / "videos" / "camvid_0016E5_val_15fps.mp4") as source:
        for record, index in zip(source, range(6), strict=False):
            truth = dataset[index].labels
            said = np.where(truth == CAMVID.void, 0, truth).astype(np.uint8)
            said[100:110, 100:110] = index % 2  # a patch that flickers
            metric.update(Sample(record.name, record.frame_bgr, truth), said)
    result = metric.result()
    assert (result.pairs, result.cuts) == (5, 0)
    assert result.compared is not None
    assert result.compared > 0.8
    assert result.truth is not None
    assert result.truth.flicker is not None
    assert result.truth.raw_change is not None
    assert result.prediction.flicker is not None
    assert result.truth.flicker < result.truth.raw_change, "part of the change is motion"
    assert 0 < result.prediction.flicker - result.truth.flicker < 0.01


def test_every_metric_on_camvid(shared_data: Path) -> None:
    pytest.importorskip("torch")
    dataset = open_dataset("camvid", shared_data / "camvid", "val")
    opened = open_metrics("all", dataset.label_map)
    with load_segmenter(None) as segmenter:
        evaluate(
            dataset,
            lambda frame_bgr: segmenter(frame_bgr).labels,
            segmenter.label_map,
            limit=3,
            metrics=opened.metrics.values(),
        )
    results = {name: metric.result().to_dict() for name, metric in opened.metrics.items()}
    assert (list(results), opened.left_out) == (list(METRICS), {})
    assert results["boundary"]["boundary_iou"]["road"] > 0.7
    widths = [band["pixel_accuracy"] for band in results["trimap"]["bands"]]
    assert widths == sorted(widths), "farther from the borders is easier"
    assert results["objects"]["overall"]["pixel_recall"] > 0.5
    assert results["free-space"]["false_free_space_rate"] < 0.01
    assert results["kitti-road"]["labels"]["f1"] > 0.9
    assert results["flicker"]["prediction"]["flicker"] < 0.1

"""Every figure of the confusion matrix against scikit-learn and torchmetrics, on 1,000 random label maps, to 1e-12."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseg.labels import LabelMap, distinct_palette
from edgeseg.metrics.confusion import ConfusionMatrix, EvaluationResult
from edgeseg.types import Labels

MAPS = 1000
SIZE_HW = (12, 16)
VOID = 255
EXACT = 1e-12
Case = tuple[Labels, Labels, EvaluationResult]


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Truth, prediction, result: 2 to 19 classes, often not all there; some void; from mostly right to random."""
    rng = np.random.default_rng(20)
    found = []
    for _ in range(MAPS):
        count = int(rng.integers(2, 20))
        label_map = LabelMap(tuple(f"c{index}" for index in range(count)), distinct_palette(count), VOID)
        truth, noise = (rng.choice(rng.integers(0, count, 12), SIZE_HW).astype(np.uint8) for _ in range(2))
        prediction = np.where(rng.random(SIZE_HW) < rng.random(), noise, truth)
        truth[rng.random(SIZE_HW) < 0.4 * rng.random()] = VOID
        matrix = ConfusionMatrix(label_map)
        matrix.update(truth, prediction)
        found.append((truth, prediction, matrix.result()))
    return found


def labelled(truth: Labels, prediction: Labels, offset: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids of the labelled pixels, each `offset` higher."""
    known = truth != VOID
    return truth[known].astype(np.int64) + offset, prediction[known].astype(np.int64) + offset


def require_close(ours: Any, theirs: Any) -> None:
    """To 1e-12, and no NaN. 10,000 calls: numpy's own assertion would take half of the test's time."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert (np.abs(ours - theirs) <= EXACT).all(), (ours, theirs)


def require_equal(ours: dict[str, float | None], theirs: Any, defined: NDArray[np.bool_]) -> None:
    """Class by class where the figure is defined; where it is not, ours is None."""
    values = list(ours.values())
    assert [value is not None for value in values] == defined.tolist()
    known = np.array([value for value in values if value is not None])
    require_close(known, np.asarray(theirs)[defined])


def test_equal_to_scikit_learn(cases: list[Case]) -> None:
    """50 maps a call, each with class ids of its own, which changes no class's figure and saves 49 checks of inputs."""
    sklearn = pytest.importorskip("sklearn.metrics")
    for first in range(0, MAPS, 50):
        group = cases[first : first + 50]
        offsets = np.cumsum([0, *(len(result.iou) for *_, result in group)])
        shifted = [labelled(t, p, offset) for (t, p, _), offset in zip(group, offsets, strict=False)]
        y, z = (np.concatenate(part) for part in zip(*shifted, strict=True))
        classes = np.arange(offsets[-1])
        matrices = sklearn.confusion_matrix(y, z, labels=classes)
        figures = sklearn.precision_recall_fscore_support(y, z, labels=classes, zero_division=0.0)[:3]
        jaccard = sklearn.jaccard_score(y, z, labels=classes, average=None, zero_division=0.0)
        for (_, _, result), low, high in zip(group, offsets, offsets[1:], strict=False):
            matrix = matrices[low:high, low:high]
            assert np.array_equal(matrix, result.matrix)
            precision, recall, f1, iou = (figure[low:high] for figure in (*figures, jaccard))
            support, said = matrix.sum(axis=1), matrix.sum(axis=0) > 0
            there, known = support > 0, said | (support > 0)
            require_equal(result.precision, precision, said)
            require_equal(result.recall, recall, there)
            require_equal(result.f1, f1, known)
            require_equal(result.iou, iou, known)
            ours = (result.mean_precision, result.mean_accuracy, result.mean_f1, result.miou)
            theirs = (precision[said].mean(), recall[there].mean(), f1[known].mean(), iou[known].mean())
            require_close(ours, theirs)
            overall = (result.frequency_weighted_iou, result.pixel_accuracy)
            expected = (np.average(iou, weights=support), np.trace(matrix) / matrix.sum())
            require_close(overall, expected)


@pytest.fixture
def float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torchmetrics divides in float32, by `.float()` or by default; here both give float64."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(usual)


@pytest.mark.usefixtures("float64")
def test_equal_to_torchmetrics(cases: list[Case]) -> None:
    """Matrix and figures of each class for every case, 50 a call as above; means for one of each 50."""
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    settings: dict[str, Any] = {"ignore_index": VOID, "validate_args": False}
    for first in range(0, MAPS, 50):
        group = cases[first : first + 50]
        offsets = np.cumsum([0, *(len(result.iou) for *_, result in group)])
        shifted = [labelled(t, p, offset) for (t, p, _), offset in zip(group, offsets, strict=False)]
        truth, prediction = (torch.from_numpy(np.concatenate(part)) for part in zip(*shifted, strict=True))
        together = {"num_classes": int(offsets[-1]), "ignore_index": None, "validate_args": False}
        matrices = functional.multiclass_confusion_matrix(prediction, truth, **together).numpy()
        names = ("precision", "recall", "f1_score", "jaccard_index")
        figures = [
            getattr(functional, f"multiclass_{name}")(prediction, truth, average="none", **together) for name in names
        ]
        assert {figure.dtype for figure in figures} == {torch.float64}
        for (_, _, result), low, high in zip(group, offsets, offsets[1:], strict=False):
            matrix = matrices[low:high, low:high]
            assert np.array_equal(matrix, result.matrix)
            there, said = matrix.sum(axis=1) > 0, matrix.sum(axis=0) > 0
            precision, recall, f1, iou = (figure[low:high].numpy() for figure in figures)
            require_equal(result.precision, precision, said)
            require_equal(result.recall, recall, there)
            require_equal(result.f1, f1, there | said)
            require_equal(result.iou, iou, there | said)
        # One map as it is, with its void, for the means.
        truth, prediction, (*_, result) = (*map(torch.from_numpy, group[0][:2]), group[0])
        alone = {"num_classes": len(result.iou), "preds": prediction.long(), "target": truth.long(), **settings}
        miou = functional.multiclass_jaccard_index(average="macro", **alone)
        weighted = functional.multiclass_jaccard_index(average="weighted", **alone)
        accuracy = functional.multiclass_accuracy(average="micro", **alone)
        ours = (result.miou, result.frequency_weighted_iou, result.pixel_accuracy)
        require_close(ours, (float(miou), float(weighted), float(accuracy)))

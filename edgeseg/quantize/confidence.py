"""How much of a measured drop may be the luck of the frames: an upper bound from one frame left out at a time.

The drop of an IoU is a smooth function of the frames' confusion matrices, summed. Leaving out each frame in turn tells
how much the figure hangs on single frames (the jackknife: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993,
chapter 11). FP32 and INT8 lose the same frame, so what makes a frame hard for both cancels. Nothing is drawn at random:
the same frames give the same bound.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""One-sided: in so many of a hundred choices of frames the true drop is below the bound."""

_T_95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753)
"""Student's t, one-sided 95 %, for 1, 2, 3, … degrees of freedom (any table of it)."""

Matrices = NDArray[np.int64]
"""Confusion matrices of the frames: (frames, classes, classes); row: true class, column: predicted class."""


def student_t(freedom: int) -> float:
    """95 % of Student's t lies below; for the many degrees of freedom that the table has not, within 0.1 %."""
    if freedom <= len(_T_95):
        return _T_95[freedom - 1]
    # Abramowitz, Stegun, "Handbook of Mathematical Functions", 26.7.5, its first two terms.
    normal = 1.64485
    first = (normal**3 + normal) / 4
    second = (5 * normal**5 + 16 * normal**3 + 3 * normal) / 96
    return normal + first / freedom + second / freedom**2


def ious(matrices: Matrices) -> NDArray[np.float64]:
    """(…, classes, classes) pixels → (…, classes) IoU from 0 to 1; NaN for a class neither there nor predicted."""
    right = np.diagonal(matrices, axis1=-2, axis2=-1).astype(np.float64)
    union = matrices.sum(axis=-1) + matrices.sum(axis=-2) - right
    shares: NDArray[np.float64] = np.divide(right, union, out=np.full_like(right, np.nan), where=union > 0)
    return shares


def upper_bounds(fp32: Matrices, int8: Matrices) -> tuple[float, NDArray[np.float64]]:
    """What the drops of mIoU and of each class's IoU are at most, in percentage points; (classes,) the latter.

    A class that fewer than two frames know has no bound: what was measured stands in its place.
    """
    classes = np.array([_upper(*_class_drops(fp32, int8, index)) for index in range(fp32.shape[-1])])
    return _upper(*_mean_drops(fp32, int8)), classes


def disagreement_bound(int8: Matrices) -> float:
    """What the share of pixels of another class is at most, in percent, where FP32 itself was the truth."""
    pixels = int8.sum(axis=(1, 2))
    wrong = pixels - np.trace(int8, axis1=1, axis2=2)
    used = pixels > 0
    left_out = (wrong.sum() - wrong[used]) / np.maximum(pixels.sum() - pixels[used], 1)
    return _upper(100 * float(wrong.sum() / pixels.sum()), 100 * left_out)


def _upper(measured: float, left_out: NDArray[np.float64]) -> float:
    """The measured figure, and the same without each of the frames that have a say → its upper bound."""
    count = len(left_out)
    if count < 2:
        return measured
    variance = (count - 1) / count * float(np.square(left_out - left_out.mean()).sum())
    return float(measured + student_t(count - 1) * variance**0.5)


def _class_drops(fp32: Matrices, int8: Matrices, index: int) -> tuple[float, NDArray[np.float64]]:
    """A class's drop on all frames, and without each frame that knows the class."""
    knows = np.array([matrix[index].any() or matrix[:, index].any() for matrix in fp32 + int8], bool)

    def drops(left_out: NDArray[np.bool_]) -> NDArray[np.float64]:
        return _drops(fp32, int8, left_out)[..., index]

    everything = float(drops(np.zeros((1, len(fp32)), bool))[0])
    without = drops(np.eye(len(fp32), dtype=bool)[knows])
    return everything, without[~np.isnan(without)]


def _mean_drops(fp32: Matrices, int8: Matrices) -> tuple[float, NDArray[np.float64]]:
    known = ~np.isnan(ious(fp32.sum(axis=0)))

    def mean(drops: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.nanmean(drops[:, known], axis=1), np.float64)

    whole = mean(_drops(fp32, int8, np.zeros((1, len(fp32)), bool)))
    return float(whole[0]), mean(_drops(fp32, int8, np.eye(len(fp32), dtype=bool)))


def _drops(fp32: Matrices, int8: Matrices, left_out: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(choices, frames) that are left out → (choices, classes) drops in points; a class that INT8 lost has 0 left."""
    used = (~left_out).astype(np.int64)
    before, after = (ious(np.tensordot(used, matrices, axes=1)) for matrices in (fp32, int8))
    return 100 * (before - np.where(np.isnan(after), 0.0, after))

"""An SBD folder of two small pictures with MATLAB files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat
from tiny_datasets import HW, random_frame, save_frame

from edgeseg.types import Labels


def ids(seed: int) -> Labels:
    return np.random.default_rng(seed).integers(0, 21, HW).astype(np.uint8)


def sbd(root: Path, below: str = "benchmark_RELEASE/dataset") -> Path:
    """2008_000000 and 2008_000001; as published, GTcls also holds boundaries and the categories that are there."""
    folder = root / below
    for seed in range(2):
        save_frame(folder / f"img/2008_00000{seed}.jpg", random_frame(seed))
        truth = {"Boundaries": np.zeros((20, 1), object), "Segmentation": ids(seed), "CategoriesPresent": [1, 2]}
        mat(folder / f"cls/2008_00000{seed}.mat", {"GTcls": truth})
    (folder / "train.txt").write_text("2008_000001\n2008_000000\n")
    (folder / "val.txt").write_text("2008_000000\n")
    return root


def mat(path: Path, value: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, value, do_compression=True)

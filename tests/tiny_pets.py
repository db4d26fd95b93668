"""Oxford-IIIT Pet folders of three small pictures, in both codings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_datasets import HW, random_frame, save_frame, save_grey

from edgeseg.types import Labels

NAMES = ("Abyssinian_100", "great_pyrenees_7", "pug_1")


def published(root: Path) -> Path:
    """Three pets with trimaps of random 1, 2, 3; the list of test names the first."""
    for seed, name in enumerate(NAMES):
        save_frame(root / f"images/{name}.jpg", random_frame(seed))
        save_grey(root / f"annotations/trimaps/{name}.png", trimap(seed))
    (root / "annotations/trainval.txt").write_text("".join(f"{name} 1 2 3\n" for name in NAMES[:0:-1]))
    (root / "annotations/test.txt").write_text(f"#Image CLASS-ID SPECIES BREED ID\n{NAMES[0]} 1 1 1\n")
    return root


def trimap(seed: int) -> Labels:
    return np.random.default_rng(seed).integers(1, 4, HW).astype(np.uint8)


def by_species(root: Path, value: int = 2) -> Path:
    for seed, name in enumerate(NAMES):
        save_frame(root / f"images/{name}.jpg", random_frame(seed))
        save_grey(root / f"labels/{name}.png", np.array([[0, 255], [value, 0]], np.uint8).repeat(8, 1).repeat(6, 0))
    (root / "list.txt").write_text("\n".join(NAMES))
    return root

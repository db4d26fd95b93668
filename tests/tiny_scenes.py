"""Smooth pictures that pass for scenes, of any brightness, and datasets of them in CamVid's layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tiny_datasets import save_frame, save_grey

from edgeseg.types import Frame

HW = (48, 64)


def scene(seed: int, brightness: float = 120.0, size_hw: tuple[int, int] = HW) -> Frame:
    """Soft blobs, others for every seed, around a mean grey value."""
    coarse = np.random.default_rng(seed).uniform(-0.5, 0.5, (6, 8, 3)).astype(np.float32)
    soft = cv2.resize(coarse, size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(brightness * (1 + soft - soft.mean()), 0, 255), np.uint8)


@dataclass(frozen=True)
class Drawn:
    """One picture of a dataset: which scene, how bright, and the ids that its labels hold beside sky (0)."""

    seed: int
    brightness: float = 120.0
    ids: tuple[int, ...] = (3,)


def camvid_of(root: Path, splits: Mapping[str, Mapping[str, Drawn]]) -> Path:
    """Split → name → picture, in CamVid's layout and classes."""
    for split, pictures in splits.items():
        lines = []
        for name, drawn in pictures.items():
            labels = np.zeros(HW, np.uint8)
            for row, value in enumerate(drawn.ids):
                labels[4 * row : 4 * row + 4] = value
            save_frame(root / split / f"{name}.png", scene(drawn.seed, drawn.brightness))
            save_grey(root / f"{split}annot" / f"{name}.png", labels)
            lines.append(f"{split}/{name}.png {split}annot/{name}.png")
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def drive(count: int, *, dark: Sequence[int] = (), first_seed: int = 0) -> dict[str, Drawn]:
    """`count` pictures in two sequences, those numbered in `dark` at night."""
    return {
        f"{'town' if index % 2 else 'village'}_{index:04d}": Drawn(first_seed + index, 30.0 if index in dark else 120.0)
        for index in range(count)
    }

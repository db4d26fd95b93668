"""Training batches from several datasets at once, repeatable from the seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from edgeseg.data.augment import Augment
from edgeseg.data.base import SegmentationDataset
from edgeseg.errors import ConfigError

Key = tuple[int, int, int]
"""Epoch, dataset, index: all that a sample's variation depends on, beside the run's seed."""


@dataclass(frozen=True)
class Part:
    """One dataset of the mix, and how many of its samples an epoch takes (all of them, or a new random choice)."""

    dataset: SegmentationDataset
    per_epoch: int | None = None

    @property
    def taken(self) -> int:
        """Samples that an epoch takes from this dataset."""
        return len(self.dataset) if self.per_epoch is None else min(self.per_epoch, len(self.dataset))


class AugmentedDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Samples by `Key`: (BGR uint8 (h, w, 3), labels int64 (h, w)). Worker count does not change what comes out."""

    def __init__(self, parts: Sequence[Part], augment: Augment, seed: int) -> None:
        _check_same_classes(parts)
        self.parts = tuple(parts)
        self._augment = augment
        self._seed = seed

    def __getitem__(self, key: Key) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, part, index = key
        seed = int(np.random.SeedSequence([self._seed, epoch, part, index]).generate_state(1)[0])
        return self._augment(self.parts[part].dataset[index], seed)


class EpochSampler(Sampler[Key]):
    """The keys of one epoch in random order; `epoch` is set from outside, so that a resumed run goes on alike."""

    def __init__(self, parts: Sequence[Part], seed: int) -> None:
        self._parts = tuple(parts)
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return sum(part.taken for part in self._parts)

    def __iter__(self) -> Iterator[Key]:
        rng = np.random.default_rng([self._seed, self.epoch])
        keys = [
            (self.epoch, number, int(index))
            for number, part in enumerate(self._parts)
            for index in rng.permutation(len(part.dataset))[: part.taken]
        ]
        return iter([keys[position] for position in rng.permutation(len(keys))])


def training_batches(
    parts: Sequence[Part], augment: Augment, *, batch_size: int, seed: int, workers: int
) -> tuple[DataLoader[tuple[torch.Tensor, torch.Tensor]], EpochSampler]:
    """Loader of (BGR uint8 (N, h, w, 3), labels int64 (N, h, w)), and the sampler whose `epoch` its user sets.

    The last, smaller batch is dropped: batch normalisation over one or two crops would disturb the statistics.
    """
    dataset = AugmentedDataset(parts, augment, seed)
    sampler = EpochSampler(parts, seed)
    if len(sampler) < batch_size:
        raise ConfigError(
            f"an epoch has {len(sampler)} samples, fewer than batch_size={batch_size}. Lower the batch size."
        )
    loader = DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
        # Its own, unused: else the loader draws from the global one, a number of times that depends on the workers,
        # and dropout in the network would differ with them.
        generator=torch.Generator(),
    )
    return loader, sampler


def class_shares(parts: Sequence[Part], limit: int = 500) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Share of the labelled pixels that each class has, over at most `limit` evenly spaced samples of every part.

    A part counts by the samples that an epoch takes from it.
    """
    _check_same_classes(parts)
    classes = len(parts[0].dataset.label_map)
    total = np.zeros(classes, np.float64)
    for part in parts:
        chosen = np.unique(np.linspace(0, len(part.dataset) - 1, min(limit, len(part.dataset))).astype(int))
        counts = np.zeros(classes, np.float64)
        for index in chosen:
            counts += np.bincount(part.dataset[int(index)].labels.ravel(), minlength=256)[:classes]
        total += counts * (part.taken / len(chosen))
    shares: np.ndarray[tuple[int], np.dtype[np.float64]] = total / max(total.sum(), 1.0)
    return shares


def _check_same_classes(parts: Sequence[Part]) -> None:
    first = parts[0].dataset
    for part in parts[1:]:
        if part.dataset.label_map != first.label_map:
            raise ConfigError(
                f"{part.dataset.name} and {first.name} do not have the same classes; one model cannot learn both."
            )

"""Training batches from several datasets at once, repeatable from the seed alone."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from edgeseg.data.augment import Augment
from edgeseg.data.base import SegmentationDataset
from edgeseg.errors import ConfigError, EdgesegError

Key = tuple[int, int, int]
"""Epoch, dataset, index: all that a sample's variation depends on, beside the run's seed."""

Batch = tuple[torch.Tensor, torch.Tensor]
"""BGR uint8 (n, h, w, 3) and labels int64 (n, h, w)."""


_WORKER_GRACE_S = 10
"""Seconds that a worker goes on after SIGTERM: time to finish a step and to be told that it is over."""


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


class TrainingBatches:
    """Batches of an epoch: BGR uint8 (n, h, w, 3) and labels int64 (n, h, w), from any batch on.

    Of every batch of `batch_size` samples, process number `process` of `processes` gets its n = batch_size / processes:
    all together see the batches that one alone would. The last, smaller batch is dropped: batch normalisation over one
    or two crops would disturb the statistics.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        augment: Augment,
        *,
        batch_size: int,
        seed: int,
        workers: int,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self._sampler = EpochSampler(parts, seed)
        if len(self._sampler) < batch_size:
            raise ConfigError(
                f"an epoch has {len(self._sampler)} samples, fewer than batch_size={batch_size}. Lower the batch size."
            )
        self._slices = _Slices(self._sampler, batch_size, process, processes)
        self._loader: DataLoader[Batch] = DataLoader(
            _Reported(AugmentedDataset(parts, augment, seed)),
            batch_sampler=self._slices,
            collate_fn=_collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_leave_signals_to_the_trainer,
            # Its own, unused: else the loader draws from the global one, a number of times that depends on the workers,
            # and dropout in the network would differ with them.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._sampler) // self._slices.batch_size

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` from batch `start` on; those before are not read.

        Raises the `DataError` of a sample that cannot be read, in one line also where a worker met it.
        """
        self._sampler.epoch, self._slices.start = number, start
        for batch in self._loader:
            if isinstance(batch, EdgesegError):
                try:
                    raise batch
                finally:
                    # It holds this frame, and the frame the workers: in a circle they would outlive the run.
                    del batch
            yield batch


class _Slices(Sampler[list[Key]]):
    """This process's keys of every whole batch, from batch `start` on."""

    def __init__(self, sampler: EpochSampler, batch_size: int, process: int, processes: int) -> None:
        self.batch_size = batch_size
        self.start = 0
        self._sampler = sampler
        self._own = slice(process * batch_size // processes, (process + 1) * batch_size // processes)

    def __len__(self) -> int:
        return len(self._sampler) // self.batch_size - self.start

    def __iter__(self) -> Iterator[list[Key]]:
        keys, size = list(self._sampler), self.batch_size
        return iter(
            [keys[first : first + size][self._own] for first in range(self.start * size, len(keys) - size + 1, size)]
        )


class _Reported(Dataset[Any]):
    """What a sample raises becomes its value: an exception that crosses from a worker arrives as a whole traceback."""

    def __init__(self, dataset: AugmentedDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, key: Key) -> Any:
        try:
            return self._dataset[key]
        except EdgesegError as error:
            return error


def _collate(samples: list[Any]) -> Any:
    """A batch, or the first error among its samples."""
    return next((sample for sample in samples if isinstance(sample, EdgesegError)), None) or default_collate(samples)


def _leave_signals_to_the_trainer(_: int) -> None:
    # Ctrl-C and a job queue's SIGTERM reach every process of the group. The trainer finishes its step and saves; a
    # worker that died meanwhile would end it with an error instead. It also has to end when the trainer says so.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_WORKER_GRACE_S))


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

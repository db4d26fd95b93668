"""Batches from several datasets: complete, repeatable, and the same however many processes load them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from edgeseg.data import Sample
from edgeseg.data.augment import Augment, AugmentConfig
from edgeseg.data.loaders import Batch, EpochSampler, Part, TrainingBatches, class_shares
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import CAMVID, KITTI_ROAD, LabelMap

SIZE = (40, 48)
AUGMENT = Augment(AugmentConfig(crop_hw=(32, 40)), SIZE, CAMVID.void)


@dataclass(frozen=True)
class Flat:
    """Sample i is all of class `first + i`, in noise that i decides; its last `void_rows` rows are void."""

    count: int
    first: int = 0
    void_rows: int = 0
    label_map: LabelMap = CAMVID
    name: str = "flat train"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        labels = np.full(SIZE, (self.first + index) % len(self.label_map), np.uint8)
        labels[SIZE[0] - self.void_rows :] = self.label_map.void
        noise = np.random.default_rng(index).integers(0, 256, (*SIZE, 3), np.uint8)
        return Sample(f"flat_{index}", noise, labels)


def epochs_of(parts: list[Part], *, workers: int, epochs: list[int], seed: int = 3) -> list[list[torch.Tensor]]:
    batches = TrainingBatches(parts, AUGMENT, batch_size=3, seed=seed, workers=workers)
    return [[tensor for batch in batches.epoch(epoch) for tensor in batch] for epoch in epochs]


def test_batches_have_the_crops_size_and_the_loaders_types() -> None:
    (tensors,) = epochs_of([Part(Flat(7))], workers=0, epochs=[1])
    assert len(tensors) == 2 * 2  # seven samples make two batches of three
    frames, labels = tensors[:2]
    assert (frames.shape, frames.dtype) == ((3, 32, 40, 3), torch.uint8)
    assert (labels.shape, labels.dtype) == ((3, 32, 40), torch.int64)


def test_worker_processes_change_nothing() -> None:
    parts = [Part(Flat(5)), Part(Flat(9), per_epoch=4)]
    torch.manual_seed(0)
    alone = epochs_of(parts, workers=0, epochs=[1, 2])
    state_alone = torch.get_rng_state()
    torch.manual_seed(0)
    with_two = epochs_of(parts, workers=2, epochs=[1, 2])
    assert [len(epoch) for epoch in alone] == [len(epoch) for epoch in with_two] == [6, 6]
    for one, other in zip(alone, with_two, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    # Nor what dropout will draw next.
    assert torch.equal(torch.get_rng_state(), state_alone)


def test_an_epoch_is_the_same_without_the_epochs_before_it() -> None:
    parts = [Part(Flat(6), per_epoch=3)]
    *_, after_two = epochs_of(parts, workers=0, epochs=[1, 2, 3])
    (directly,) = epochs_of(parts, workers=0, epochs=[3])
    assert all(torch.equal(a, b) for a, b in zip(after_two, directly, strict=True))


def test_epochs_and_seeds_differ() -> None:
    first, second = epochs_of([Part(Flat(6))], workers=0, epochs=[1, 2])
    (other_seed,) = epochs_of([Part(Flat(6))], workers=0, epochs=[1], seed=4)
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[0], other_seed[0])


def test_every_sample_comes_once_an_epoch() -> None:
    parts = [Part(Flat(5)), Part(Flat(3))]
    sampler = EpochSampler(parts, seed=0)
    orders = []
    for epoch in (1, 2):
        sampler.epoch = epoch
        keys = list(sampler)
        assert len(keys) == len(sampler) == 8
        assert sorted(keys) == [*((epoch, 0, i) for i in range(5)), *((epoch, 1, i) for i in range(3))]
        orders.append([key[1:] for key in keys])
    assert orders[0] != orders[1]
    assert [part for part, _ in orders[0]] != sorted(part for part, _ in orders[0])  # the datasets are mixed


def test_per_epoch_takes_a_new_choice_each_time() -> None:
    sampler = EpochSampler([Part(Flat(20), per_epoch=6), Part(Flat(2), per_epoch=6)], seed=0)
    seen: Counter[int] = Counter()
    for epoch in range(1, 41):
        sampler.epoch = epoch
        keys = list(sampler)
        chosen = [index for _, part, index in keys if part == 0]
        assert len(chosen) == len(set(chosen)) == 6
        assert sorted(index for _, part, index in keys if part == 1) == [0, 1]  # no more than there are
        seen.update(chosen)
    assert len(seen) == 20
    assert max(seen.values()) < 25


def same_batches(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) for pair in zip(one, other, strict=True) for a, b in zip(*pair, strict=True)
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_epoch_reads_the_remaining_batches_alone(workers: int) -> None:
    class Watched(Flat):
        def __getitem__(self, index: int) -> Sample:
            assert index not in unwanted, "a finished batch is read again"
            return super().__getitem__(index)

    unwanted: set[int] = set()
    whole = TrainingBatches([Part(Flat(11))], AUGMENT, batch_size=3, seed=3, workers=0)
    expected = list(whole.epoch(2))
    order = EpochSampler([Part(Flat(11))], seed=3)
    order.epoch = 2
    unwanted |= {index for _, _, index in list(order)[:6]}
    rest = TrainingBatches([Part(Watched(11))], AUGMENT, batch_size=3, seed=3, workers=workers)
    assert len(rest) == len(expected) == 3
    assert same_batches(list(rest.epoch(2, start=2)), expected[2:])
    assert list(rest.epoch(2, start=3)) == []


def test_processes_share_every_batch() -> None:
    def batches(**of: int) -> list[Batch]:
        return list(TrainingBatches([Part(Flat(9))], AUGMENT, batch_size=4, seed=3, workers=0, **of).epoch(1))

    first, second = batches(process=0, processes=2), batches(process=1, processes=2)
    together = [(torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]])) for a, b in zip(first, second, strict=True)]
    assert same_batches(together, batches())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_cannot_be_read_is_one_line(workers: int) -> None:
    class Broken(Flat):
        def __getitem__(self, index: int) -> Sample:
            raise DataError(f"frame {index}: cannot be read.")

    batches = TrainingBatches([Part(Broken(4))], AUGMENT, batch_size=2, seed=0, workers=workers)
    with pytest.raises(DataError, match=r"^frame \d: cannot be read\.$"):
        next(batches.epoch(1))


def test_fewer_samples_than_a_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 samples, fewer than batch_size=3"):
        TrainingBatches([Part(Flat(2))], AUGMENT, batch_size=3, seed=0, workers=0)


def test_class_shares_leave_void_out_and_weigh_parts_by_what_is_taken() -> None:
    shares = class_shares([Part(Flat(2, void_rows=10)), Part(Flat(4, first=4), per_epoch=2)])
    # Two samples with 30 of 40 rows labelled, classes 0 and 1; of four whole ones, classes 4 to 7, half is taken.
    total = 2 * 30 + 2 * 40
    expected = [30, 30, 0, 0, 20, 20, 20, 20, 0, 0, 0]
    np.testing.assert_allclose(shares, np.array(expected) / total)
    assert shares.sum() == pytest.approx(1.0)


def test_class_shares_look_at_evenly_spaced_samples() -> None:
    shares = class_shares([Part(Flat(9))], limit=3)
    np.testing.assert_allclose(shares.nonzero()[0], [0, 4, 8])


def test_class_shares_of_nothing_but_void_are_zero() -> None:
    assert not class_shares([Part(Flat(2, void_rows=SIZE[0]))]).any()


def test_datasets_of_other_classes_do_not_mix() -> None:
    parts = [Part(Flat(4)), Part(Flat(4, label_map=KITTI_ROAD, name="kitti-road train"))]
    with pytest.raises(ConfigError, match="kitti-road train and flat train do not have the same classes"):
        class_shares(parts)
    with pytest.raises(ConfigError, match="kitti-road train and flat train do not have the same classes"):
        TrainingBatches(parts, AUGMENT, batch_size=2, seed=0, workers=0)

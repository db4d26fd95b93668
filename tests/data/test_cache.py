"""The cache gives what the dataset gives, notices what changed, and survives what happens to files."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from tiny_datasets import camvid, random_frame, save_frame
from tiny_formats import truncate

from edgeseg.data import open_dataset
from edgeseg.data.base import Sample, SegmentationDataset, files_of
from edgeseg.data.cache import cached
from edgeseg.errors import ConfigError, DataError


def same(one: SegmentationDataset, other: SegmentationDataset) -> bool:
    return len(one) == len(other) and all(equal(one[index], other[index]) for index in range(len(one)))


def equal(one: Sample, other: Sample) -> bool:
    pixels = np.array_equal(one.image_bgr, other.image_bgr) and np.array_equal(one.labels, other.labels)
    return pixels and one.name == other.name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return camvid(tmp_path / "camvid")


def train(root: Path) -> SegmentationDataset:
    return open_dataset("camvid", root, "train")


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_what_comes_out_is_what_went_in(root: Path, tmp_path: Path, kind: Literal["memory", "disk"]) -> None:
    kept = cached(train(root), kind, tmp_path / "cache")
    assert same(kept, train(root))
    assert (kept.name, kept.label_map) == (train(root).name, train(root).label_map)
    assert files_of(kept, 1) == files_of(train(root), 1)
    kept[0].image_bgr[:] = 0
    kept[0].labels[:] = 0
    assert same(kept, train(root)), "a sample that is drawn into is a copy"
    with pytest.raises(IndexError):
        kept[3]


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_files_are_read_once(root: Path, tmp_path: Path, kind: Literal["memory", "disk"]) -> None:
    expected = [train(root)[index] for index in range(3)]
    kept = cached(train(root), kind, tmp_path / "cache")
    for file in (root / "train").iterdir():
        file.unlink()
    assert all(equal(kept[index], expected[index]) for index in range(3))


def test_a_second_run_finds_the_file_and_does_not_decode(root: Path, tmp_path: Path) -> None:
    cached(train(root), "disk", tmp_path / "cache")
    (written,) = (tmp_path / "cache").iterdir()
    before = written.stat().st_mtime_ns
    dataset = train(root)
    again = cached(dataset, "disk", tmp_path / "cache")
    (found,) = (tmp_path / "cache").iterdir()
    assert (found, found.stat().st_mtime_ns) == (written, before)
    assert same(again, dataset)


def test_a_changed_file_is_noticed(root: Path, tmp_path: Path) -> None:
    cached(train(root), "disk", tmp_path / "cache")
    save_frame(root / "train/train_001.png", random_frame(99))
    kept = cached(train(root), "disk", tmp_path / "cache")
    assert same(kept, train(root))
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_file_of_the_same_size_that_was_touched_is_noticed(root: Path, tmp_path: Path) -> None:
    cached(train(root), "disk", tmp_path / "cache")
    os.utime(root / "trainannot/train_001.png", ns=(1, 1))
    cached(train(root), "disk", tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "grown", "zeros", "empty"])
def test_a_torn_cache_is_written_again(root: Path, tmp_path: Path, damage: str) -> None:
    cached(train(root), "disk", tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    if damage == "cut":
        truncate(path)
    else:
        path.write_bytes({"grown": whole + b"more", "zeros": bytes(len(whole)), "empty": b""}[damage])
    assert same(cached(train(root), "disk", tmp_path / "cache"), train(root))
    assert path.read_bytes() == whole


def test_a_mapping_shares_the_cache_of_its_dataset(root: Path, tmp_path: Path) -> None:
    for mapping in ("driving", "road"):
        dataset = open_dataset("camvid", root, "train", mapping)
        kept = cached(dataset, "disk", tmp_path / "cache")
        assert same(kept, dataset)
        assert kept.label_map == dataset.label_map
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_worker_that_is_started_by_pickling_maps_the_file_itself(root: Path, tmp_path: Path) -> None:
    kept = cached(train(root), "disk", tmp_path / "cache")
    assert equal(kept[1], train(root)[1])
    sent = pickle.dumps(kept)
    assert len(sent) < 10_000, "the samples stay in the file"
    assert same(pickle.loads(sent), train(root))


def _build(root: Path, folder: Path) -> str:
    return "same" if same(cached(train(root), "disk", folder), train(root)) else "different"


def test_runs_that_build_at_once_do_not_disturb_each_other(root: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        results = list(pool.map(_build, [root] * 4, [tmp_path / "cache"] * 4))
    assert results == ["same"] * 4
    assert len(list((tmp_path / "cache").iterdir())) == 1, "every process finds the same name, and no rest is left"


def test_what_does_not_fit_is_refused_before_all_is_decoded(root: Path) -> None:
    # 3 samples of 12 × 16 pixels, 4 bytes each
    with pytest.raises(ConfigError, match=r"camvid train: 3 decoded samples take about 0.0 GB.*Use cache = \"disk\""):
        cached(train(root), "memory", limit_bytes=3 * 12 * 16 * 4 - 1)
    assert len(cached(train(root), "memory", limit_bytes=3 * 12 * 16 * 4)) == 3


def test_settings_without_sense(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='cache = \'tape\' is unknown; choose "memory" or "disk"'):
        cached(train(root), "tape")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs a folder"):
        cached(train(root), "disk")
    with pytest.raises(ConfigError, match="is drawn, not read from files"):
        cached(open_dataset("synthetic", "frames=2&size=64x96", "val"), "disk", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="no place for a cache"):
        cached(train(root), "disk", tmp_path / "file" / "below")


def test_a_broken_sample_leaves_no_cache(root: Path, tmp_path: Path) -> None:
    truncate(root / "trainannot/train_002.png")
    with pytest.raises(DataError, match=r"train_002\.png"):
        cached(train(root), "disk", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []

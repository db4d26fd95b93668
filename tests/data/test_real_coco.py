"""COCO and Oxford-IIIT Pet readers on every file of the real samples, which are not part of the repository."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from edgeseg.data import SegmentationDataset, dataset_format, detect_format, open_dataset
from edgeseg.data.coco_categories import PANOPTIC
from edgeseg.data.mapped import map_classes
from edgeseg.data.mapping import read_mapping

pytestmark = [
    pytest.mark.real_data,
    # NumPy 2 on pycocotools' own drawing.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def shares(dataset: SegmentationDataset) -> dict[str, float]:
    """Share of the pixels of all samples that each class, and void, has."""
    counts = np.zeros(256, np.int64)
    for index in range(len(dataset)):
        sample = dataset[index]
        assert sample.image_bgr.shape[:2] == sample.labels.shape
        counts += np.bincount(sample.labels.ravel(), minlength=256)
    names = dataset.label_map.names
    found = {names[i] if i < len(names) else "void": count / counts.sum() for i, count in enumerate(counts) if count}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


@pytest.mark.parametrize(("split", "count"), [("train2017", 18), ("val2017", 10)])
def test_instances_are_what_pycocotools_draws(shared_data: Path, split: str, count: int) -> None:
    """Drawn once more with pycocotools' own reader, one object after the other."""
    root = shared_data / "coco-sample"
    assert (detect_format(root), dataset_format("coco").splits(root)) == ("coco", ["train2017", "val2017"])
    dataset = open_dataset("coco", root, split)
    assert (len(dataset), len(dataset.label_map)) == (count, 81)
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO(root / f"annotations/instances_{split}.json")
    class_of = {category["id"]: i + 1 for i, category in enumerate(reference.dataset["categories"])}
    ids = {Path(image["file_name"]).stem: image["id"] for image in reference.dataset["images"]}
    for index in range(count):
        sample = dataset[index]
        objects = reference.imgToAnns[ids[sample.name]]
        claims = np.zeros((82, *sample.labels.shape), bool)
        for one in objects:
            claims[81 if one["iscrowd"] else class_of[one["category_id"]]] |= reference.annToMask(one).astype(bool)
        expected = np.where(claims.sum(0) > 1, 255, np.where(claims[81], 255, claims.argmax(0)))
        assert np.array_equal(sample.labels, expected)


def test_instances_have_plausible_shares(shared_data: Path) -> None:
    found = shares(open_dataset("coco", shared_data / "coco-sample", "val2017"))
    assert list(found)[:2] == ["background", "person"]
    assert 0.5 < found["background"] < 0.8
    assert 0.1 < found["person"] < 0.25
    assert 0.01 < found["void"] < 0.1


def test_instances_in_vocs_classes(shared_data: Path) -> None:
    """Fewer classes, fewer conflicts: wanted objects gain pixels, nothing else appears."""
    dataset = open_dataset("coco", shared_data / "coco-sample", "train2017")
    mapping = read_mapping("voc", source="coco")
    before, after = shares(dataset), shares(map_classes(dataset, mapping))
    wanted = {mapping.target_of(name) for name in before if name != "void"}
    assert set(after) == {"void", *wanted}
    assert after["person"] >= before["person"]
    assert after["sofa"] >= before["couch"]
    assert after["void"] < before["void"]


def test_panoptic_areas_are_those_of_the_json(shared_data: Path) -> None:
    root = shared_data / "coco-sample" / "panoptic"
    assert detect_format(root) == "coco-panoptic"
    dataset = open_dataset("coco-panoptic", root, "examples")
    assert dataset.label_map.names == tuple(PANOPTIC.values()), "our table of categories is COCO's"
    text = (root / "panoptic_examples.json").read_text()
    areas = [int(area) for area in re.findall(r'"area": (\d+)', text)]
    labelled = sum(int(np.count_nonzero(dataset[i].labels != 255)) for i in range(len(dataset)))
    assert (len(dataset), labelled) == (2, sum(areas))
    found = shares(dataset)
    assert list(found)[:3] == ["tree-merged", "grass-merged", "person"]
    assert found["void"] < 0.05


def test_stuff_masks_are_what_is_stored(shared_data: Path) -> None:
    root = shared_data / "coco-sample" / "semantic"
    assert detect_format(root) == "coco-stuff"
    lines = (root / "classes_config.yaml").read_text().splitlines()
    named = {int(found[1]): found[2] for found in map(re.compile(r"\s+(\d+): (.+)").fullmatch, lines) if found}
    assert all(PANOPTIC[key] == name for key, name in named.items() if key)
    dataset = open_dataset("coco-stuff", root, "all")
    assert len(dataset) == 16
    ids = np.array([*PANOPTIC, *[0] * (256 - len(PANOPTIC))])
    for index in range(16):
        sample = dataset[index]
        assert np.array_equal(ids[sample.labels], np.asarray(Image.open(root / "masks" / f"{sample.name}.png")))
    found = shares(dataset)
    assert list(found)[:2] == ["person", "sky-other-merged"]
    assert found["void"] < 0.15


def test_instances_and_panoptic_agree_on_a_photograph_of_both(shared_data: Path) -> None:
    """000000005001 is in two samples: where instances say person, so do the panoptic ids, and nearly everywhere."""
    root = shared_data / "coco-sample"
    found = []
    for dataset in (open_dataset("coco", root, "val2017"), open_dataset("coco-stuff", root / "semantic", "all")):
        samples = (dataset[index] for index in range(len(dataset)))
        labels = next(sample.labels for sample in samples if sample.name == "000000005001")
        found.append(labels == dataset.label_map.names.index("person"))
    instances, panoptic = found
    assert (instances & panoptic).sum() / (instances | panoptic).sum() > 0.85


def test_pets_by_species(shared_data: Path) -> None:
    root = shared_data / "oxford-pets-sample"
    assert detect_format(root) == "oxford-pets"
    dataset = open_dataset("oxford-pets", root, "list")
    assert len(dataset) == 26
    for index in range(26):
        sample = dataset[index]
        assert np.array_equal(sample.labels, np.asarray(Image.open(root / "labels" / f"{sample.name}.png")))
        animal = 1 if sample.name[0].isupper() else 2  # the Oxford set writes cat breeds with a capital
        assert set(np.unique(sample.labels)) <= {0, animal, 255}
        assert animal in sample.labels
    found = shares(dataset)
    assert list(found) == ["background", "cat", "void", "dog"]
    assert 0.05 < found["void"] < 0.2

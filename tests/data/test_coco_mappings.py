"""The shipped mappings of COCO name classes that COCO has."""

from __future__ import annotations

import pytest

from edgeseg.data.coco_categories import PANOPTIC, STUFF, THINGS
from edgeseg.data.mapping import read_mapping
from edgeseg.labels import VOC, LabelMap, distinct_palette

INSTANCES = ("background", *THINGS.values())


def label_map(names: tuple[str, ...]) -> LabelMap:
    return LabelMap(names, distinct_palette(len(names)))


@pytest.mark.parametrize(
    ("mapping", "known"),
    [
        ("coco-to-voc", {*INSTANCES}),
        ("coco-to-driving", {*INSTANCES}),
        ("coco-stuff-to-driving", {*THINGS.values(), *STUFF.values(), *PANOPTIC.values()}),
    ],
)
def test_no_class_is_misspelt(mapping: str, known: set[str]) -> None:
    """With a default, a slip would silently lose a class."""
    assert set(read_mapping(mapping).classes) <= known


def test_each_of_vocs_classes_comes_from_one_of_cocos() -> None:
    mapping = read_mapping("voc", source="coco")
    targets = mapping.ids(label_map(INSTANCES))
    assert len(targets) == 81
    named = sorted(target for target in targets if target != 0)
    assert named == list(range(1, 21)), "twenty categories, one for each class"
    # torchvision's reference (references/segmentation/coco_utils.py) lists COCO's ids in the order of VOC's classes.
    listed = [5, 2, 16, 9, 44, 6, 3, 17, 62, 21, 67, 18, 19, 4, 1, 64, 20, 63, 7, 72]
    assert [targets[INSTANCES.index(THINGS[key])] for key in listed] == list(range(1, 21))
    assert mapping.target == VOC


def test_both_kinds_of_stuff_become_the_driving_classes() -> None:
    for source, names in (("coco-panoptic", PANOPTIC), ("coco-stuff", THINGS | STUFF)):
        mapping = read_mapping("driving", source=source)
        targets = mapping.ids(label_map(tuple(names.values())))
        missing = set(range(len(mapping.target))) - set(targets)
        assert {mapping.target.names[target] for target in missing} == {"pavement", "pole", "rider"}, source

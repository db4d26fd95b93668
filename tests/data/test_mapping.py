"""Class mappings: the file, the table, the shipped ones, and training on several datasets through them."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from tiny_datasets import FOLDER_TOML, camvid, folder, kitti_road, random_ids
from tiny_driving import cityscapes

from edgeseg.data import FORMATS, dataset_format, open_dataset
from edgeseg.data.bdd100k_drivable import BDD100K_DRIVABLE
from edgeseg.data.cityscapes import CITYSCAPES
from edgeseg.data.coco_categories import PANOPTIC, THINGS
from edgeseg.data.mapping import ClassMapping, read_mapping, shipped_mappings, taxonomy
from edgeseg.errors import ConfigError
from edgeseg.labels import CAMVID, KITTI_ROAD, VOC, LabelMap, distinct_palette

TARGET = LabelMap(("road", "rest"), ((1, 1, 1), (2, 2, 2)), void=9)
SOURCE = LabelMap(("lane", "house", "mist"), ((0, 0, 0), (1, 0, 0), (2, 0, 0)), void=200)

VISTAS_12 = [
    "animal--bird", "animal--ground-animal", "construction--barrier--curb", "construction--barrier--fence",
    "construction--barrier--guard-rail", "construction--barrier--other-barrier", "construction--barrier--wall",
    "construction--flat--bike-lane", "construction--flat--crosswalk-plain", "construction--flat--curb-cut",
    "construction--flat--parking", "construction--flat--pedestrian-area", "construction--flat--rail-track",
    "construction--flat--road", "construction--flat--service-lane", "construction--flat--sidewalk",
    "construction--structure--bridge", "construction--structure--building", "construction--structure--tunnel",
    "human--person", "human--rider--bicyclist", "human--rider--motorcyclist", "human--rider--other-rider",
    "marking--crosswalk-zebra", "marking--general", "nature--mountain", "nature--sand", "nature--sky",
    "nature--snow", "nature--terrain", "nature--vegetation", "nature--water", "object--banner", "object--bench",
    "object--bike-rack", "object--billboard", "object--catch-basin", "object--cctv-camera", "object--fire-hydrant",
    "object--junction-box", "object--mailbox", "object--manhole", "object--phone-booth", "object--pothole",
    "object--street-light", "object--support--pole", "object--support--traffic-sign-frame",
    "object--support--utility-pole", "object--traffic-light", "object--traffic-sign--back",
    "object--traffic-sign--front", "object--trash-can", "object--vehicle--bicycle", "object--vehicle--boat",
    "object--vehicle--bus", "object--vehicle--car", "object--vehicle--caravan", "object--vehicle--motorcycle",
    "object--vehicle--on-rails", "object--vehicle--other-vehicle", "object--vehicle--trailer",
    "object--vehicle--truck", "object--vehicle--wheeled-slow", "void--car-mount", "void--ego-vehicle",
]  # fmt: skip


def named(names: list[str]) -> LabelMap:
    return LabelMap(tuple(names), distinct_palette(len(names)))


SOURCES = {
    "bdd100k-drivable": BDD100K_DRIVABLE,
    "camvid": CAMVID,
    "cityscapes": CITYSCAPES,
    "coco": named(["background", *THINGS.values()]),
    "coco-stuff": named([*PANOPTIC.values()]),
    "kitti-road": KITTI_ROAD,
    "mapillary": named(VISTAS_12),
    "voc": VOC,
}


def test_every_class_and_void_find_their_place() -> None:
    mapping = ClassMapping("m", TARGET, {"lane": "road", "house": "rest", "mist": None})
    table = mapping.lut(SOURCE)
    assert table.dtype == np.uint8
    assert table.shape == (256,)
    assert table[[0, 1, 2, 200, 3, 255]].tolist() == [0, 1, 9, 9, 9, 9]


def test_a_class_that_is_not_named_is_refused_with_what_to_add() -> None:
    mapping = ClassMapping("m", TARGET, {"lane": "road"})
    with pytest.raises(
        ConfigError, match=r"2 of the classes: 'house', 'mist'; add .*\"house\" = \"void\".*default"
    ) as refused:
        mapping.lut(SOURCE)
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match="'house'"):
        mapping.target_of("house")


@pytest.mark.parametrize(("default", "expected"), [(None, [0, 9, 9]), ("rest", [0, 1, 1])])
def test_a_default_takes_the_others(default: str | None, expected: list[int]) -> None:
    assert ClassMapping("m", TARGET, {"lane": "road"}, default).lut(SOURCE)[:3].tolist() == expected


def test_a_mapping_of_another_dataset_is_refused_despite_its_default() -> None:
    with pytest.raises(ConfigError, match="names no class of this dataset, which has: lane, house, mist"):
        ClassMapping("m", TARGET, {"bus": "road"}, "rest").lut(SOURCE)


def test_targets_must_exist() -> None:
    with pytest.raises(ConfigError, match=r"lane = 'raod' is no target class; there are: road, rest, and void"):
        ClassMapping("m", TARGET, {"lane": "raod"})
    with pytest.raises(ConfigError, match="default = 'nothing'"):
        ClassMapping("m", TARGET, {}, "nothing")
    with pytest.raises(ConfigError, match="cannot be called 'void'"):
        ClassMapping("m", LabelMap(("void", "a"), ((0, 0, 0), (1, 1, 1))), {})


def test_a_mapping_reaches_workers_that_are_started_by_pickling() -> None:
    mapping = read_mapping("camvid-to-driving")
    assert pickle.loads(pickle.dumps(mapping)) == mapping


@pytest.mark.parametrize("target", ['target = "mine.toml"', "[target]"])
def test_a_file_of_ones_own(tmp_path: Path, target: str) -> None:
    (tmp_path / "mine.toml").write_text(FOLDER_TOML)
    inline = f"\n[target]{FOLDER_TOML}" if target == "[target]" else ""
    first = "" if inline else target
    (tmp_path / "to-mine.toml").write_text(
        f'{first}\ndefault = "ground"\n{inline}\n[classes]\ncar = "cat"\nsky = "void"\n'
    )
    mapping = read_mapping(tmp_path / "to-mine.toml")
    assert (mapping.name, mapping.target.names) == ("to-mine", ("ground", "cat", "dog"))
    assert mapping.lut(CAMVID)[[0, 8, 9, 11]].tolist() == [255, 1, 0, 255]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes = 3\ntarget = 'camvid'", "classes is not a table"),
        ("target = 'camvid'\n[classes]\ncar = 8", "car = 8 is not a class name"),
        ("target = 'camvid'\n[class]\ncar = 'car'", "unknown key class; known are: target, default, classes"),
        ("[classes]\ncar = 'car'", "target is missing"),
        ("target = 'mars'\n[classes]", "target = 'mars': no such file, nor one of: driving, road, camvid, voc"),
        ("target = 'camvid'\n[classes]\ncar = 'auto'", "car = 'auto' is no target class"),
        ("target = ", "cannot be read as TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_named_with_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(f"{path}: ") + ".*" + re.escape(message)):
        read_mapping(path)


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"no such mapping file, nor a shipped mapping; there are: .*camvid-to-driving"
    ):
        read_mapping("nowhere")
    with pytest.raises(ConfigError, match=r"camvid: .*; for voc there are: voc-to-driving\.$"):
        read_mapping("camvid", source="voc")


def test_the_target_is_name_enough_where_the_format_is_known(tmp_path: Path) -> None:
    assert read_mapping("driving", source="bdd100k").name == "cityscapes-to-driving"
    dataset = open_dataset("camvid", camvid(tmp_path), "val", "driving")
    assert dataset.name == "camvid val, camvid-to-driving"
    plain = open_dataset("camvid", tmp_path, "val")
    assert dataset[0].name == plain[0].name
    assert np.array_equal(dataset[0].image_bgr, plain[0].image_bgr)
    expected = read_mapping("camvid-to-driving").lut(CAMVID)[random_ids(0, CAMVID)]
    assert np.array_equal(dataset[0].labels, expected)
    assert set(np.unique(expected)) <= {*range(13), 255}


@pytest.mark.parametrize("name", shipped_mappings())
def test_a_shipped_mapping_fits_its_dataset(name: str) -> None:
    source_name, target_name = name.split("-to-")
    source, mapping = SOURCES[source_name], read_mapping(name)
    targets = dict(zip(source.names, mapping.ids(source), strict=True))
    assert mapping.target == taxonomy(target_name)
    people = {"person", "pedestrian", "human--person", "human--person--individual"}
    riders = {"rider", "bicyclist", "human--rider--bicyclist", "human--rider--motorcyclist"}
    roads = {"road", "construction--flat--road", "marking--general", "direct"}
    for classes, wanted in ((people, {"person", "pedestrian"}), (riders, {"rider", "bicyclist"}), (roads, {"road"})):
        expected = wanted & {*mapping.target.names}
        for entry in classes & set(source.names) if expected else ():
            assert targets[entry] != mapping.target.void, entry
            assert {mapping.target.names[targets[entry]]} == expected, entry


def test_vistas_literature_classes_are_all_named() -> None:
    assert len(VISTAS_12) == 65
    for name in ("mapillary-to-driving", "mapillary-to-camvid"):
        assert set(VISTAS_12) <= set(read_mapping(name).classes)


def test_what_the_driving_classes_are_is_all_supplied_by_vistas_and_cityscapes() -> None:
    driving = taxonomy("driving")
    for name, source in (("mapillary", "mapillary"), ("cityscapes", "cityscapes")):
        targets = set(read_mapping("driving", source=name).ids(SOURCES[source]))
        assert set(range(len(driving))) <= targets


def test_backgrounds_that_may_be_anything_are_void() -> None:
    for source in ("voc", "coco", "kitti-road"):
        assert read_mapping("driving", source=source).target_of("background") is None


def test_several_datasets_make_batches_together(tmp_path: Path) -> None:
    from edgeseg.data.augment import Augment, AugmentConfig
    from edgeseg.data.loaders import Part, TrainingBatches

    roots = {
        "camvid": camvid(tmp_path / "camvid"),
        "cityscapes": cityscapes(tmp_path / "cityscapes"),
        "kitti-road": kitti_road(tmp_path / "kitti"),
    }
    parts = [Part(open_dataset(name, root, "train", "driving"), per_epoch=2) for name, root in roots.items()]
    augment = Augment(AugmentConfig(crop_hw=(32, 32)), (48, 64), void=255)
    batches = TrainingBatches(parts, augment, batch_size=2, seed=1, workers=0)
    seen: set[int] = set()
    for images, labels in batches.epoch(0):
        assert images.shape == (2, 32, 32, 3)
        seen |= set(np.unique(labels.numpy()).tolist())
    assert seen <= {*range(13), 255}
    assert {0, 255} < seen


def test_a_folder_can_be_mapped_too(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('target = "road"\n[classes]\nground = "road"\ncat = "background"\ndog = "void"\n')
    dataset = open_dataset("folder", folder(tmp_path / "data"), "all", tmp_path / "m.toml")
    assert set(np.unique(dataset[0].labels)) == {0, 1, 255}


def test_every_format_that_shares_a_mapping_is_a_format() -> None:
    from edgeseg.data.mapping import _SAME_CLASSES

    assert set(_SAME_CLASSES) <= set(FORMATS)
    assert all(dataset_format(name).open for name in _SAME_CLASSES)

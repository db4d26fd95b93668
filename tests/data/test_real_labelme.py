"""labelme's own examples, and the VOC masks that labelme made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseg.data import detect_format, open_dataset

pytestmark = pytest.mark.real_data

EXAMPLES = {
    "semantic_segmentation": (3, {"person", "bottle", "chair", "sofa", "bus", "car"}),
    "instance_segmentation": (3, {"person", "bottle", "chair", "sofa", "bus", "car"}),
    "video_annotation": (5, {"car", "track"}),
    "tutorial": (
        1,
        {"shelf", "highland_6539_self_stick_notes", "kong_air_dog_squeakair_tennis_ball", "mead_index_cards"},
    ),
    "primitives": (1, {"rectangle", "circle", "polygon", "line", "line_strip", "point", "octagon"}),
}
"""Sub-folder → files in it, and the classes that are drawn in them."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_read(shared_data: Path, name: str) -> None:
    root = shared_data / "labelme-sample" / name
    assert detect_format(root) == "labelme"
    dataset = open_dataset("labelme", root, "all")
    count, drawn = EXAMPLES[name]
    assert len(dataset) == count
    seen: set[str] = set()
    for index in range(count):
        sample = dataset[index]
        assert sample.labels.shape == sample.image_bgr.shape[:2]
        seen |= {dataset.label_map.names[label] for label in np.unique(sample.labels) if label != 255}
    assert seen == drawn | {"background"}


def test_primitives_cover_what_is_drawn(shared_data: Path) -> None:
    """The picture shows blue shapes on white. Those annotated as areas are filled to their edges."""
    dataset = open_dataset("labelme", shared_data / "labelme-sample/primitives", "all")
    sample = dataset[0]
    blue = sample.image_bgr[..., 2] < 100
    for name, least in (("rectangle", 0.95), ("circle", 0.9), ("polygon", 0.95), ("octagon", 0.97)):
        painted = sample.labels == dataset.label_map.names.index(name)
        assert blue[painted].mean() > least, name


@pytest.mark.parametrize(
    ("name", "agreement"),
    # The VOC folder is what labelme made of instance_segmentation; semantic_segmentation was drawn a second time.
    [("instance_segmentation", 0.99999), ("semantic_segmentation", 0.992)],
)
def test_labels_are_the_masks_that_labelme_made(shared_data: Path, name: str, agreement: float) -> None:
    annotated = open_dataset("labelme", shared_data / "labelme-sample" / name, "all")
    masks = open_dataset("voc", shared_data / "voc-sample", "trainval")
    assert annotated.label_map.names == masks.label_map.names
    truth = {sample.name: sample for sample in (masks[index] for index in range(len(masks)))}
    assert len(annotated) == len(truth)
    for index in range(len(annotated)):
        sample = annotated[index]
        difference = np.abs(sample.image_bgr.astype(int) - truth[sample.name].image_bgr)
        assert difference.mean() < 10, "the same photograph; labelme has compressed it once more"
        assert (sample.labels == truth[sample.name].labels).mean() >= agreement, sample.name

"""What class names mean on a road: which are the road, which are ground, which can be run into.

Names of CamVid, KITTI, Cityscapes, BDD100K and Mapillary Vistas, and of edgeseg's own driving taxonomy. They are
compared in lower case with hyphens for spaces and underscores, and by their last part where `--` joins a hierarchy, as
in Vistas' `construction--flat--road`. Of the hierarchy, everything `marking` is road and everything `flat` is ground.
"""

from __future__ import annotations

from edgeseg.errors import ConfigError
from edgeseg.labels import LabelMap

ROAD = frozenset({"road", "lane", "drivable", "drivable-area", "service-lane", "lane-marking", "road-marking"})
"""Where a vehicle may drive. Markings on it belong to it too (see `is_road`)."""

GROUND = ROAD | {
    *("pavement", "sidewalk", "footpath", "curb", "curb-cut", "road-shoulder", "traffic-island", "pedestrian-area"),
    *("parking", "parking-aisle", "driveway", "bike-lane", "crosswalk", "crosswalk-plain", "rail-track", "terrain"),
    *("grass", "sand", "snow", "water", "ground", "manhole", "pothole", "catch-basin", "lane-separator"),
}
"""Flat, so that calling it road is a wrong surface and not a collision."""

NEITHER = frozenset({"sky", "ego-vehicle", "ego-mask", "car-mount"})
"""Nothing to run into: sky is far away, the ego vehicle is us. Counting sky would only make each share look smaller."""

MIXED = frozenset({"background", "other", "others", "rest", "unknown", "unlabeled", "unlabelled", "void", "ignore"})
"""Names that may hide both ground and obstacles."""

PEDESTRIANS = ("pedestrian", "person", "people", "human", "rider", "bicyclist")
"""In the order in which `pedestrian_class` looks for them: on foot, or else riding."""

PEOPLE = frozenset(PEDESTRIANS) | {"cyclist", "motorcyclist", "other-rider"}
"""Somebody, on foot or riding (see `is_person`)."""


def plain_name(name: str) -> str:
    """`construction--flat--Service_Lane` → `service-lane`."""
    return name.rpartition("--")[2].strip().lower().replace(" ", "-").replace("_", "-")


def is_road(name: str) -> bool:
    """Whether a class of this name is road."""
    plain = plain_name(name)
    return plain in ROAD or plain.startswith("lane-marking-") or name.lower().startswith("marking")


def is_ground(name: str) -> bool:
    """Whether a class of this name is road or other ground."""
    return is_road(name) or plain_name(name) in GROUND or "flat" in name.lower().split("--")


def is_person(name: str) -> bool:
    """Whether a class of this name is somebody, on foot or riding."""
    return plain_name(name) in PEOPLE or "human" in name.lower().split("--")


def road_ids(label_map: LabelMap) -> tuple[int, ...]:
    """Ids of the classes that are road; raises `ConfigError` where there is none."""
    found = tuple(index for index, name in enumerate(label_map.names) if is_road(name))
    if not found:
        raise ConfigError(f"no class is called road; this label map has: {', '.join(label_map.names)}.")
    return found


def obstacle_ids(label_map: LabelMap) -> tuple[int, ...]:
    """Ids of everything that is neither ground nor sky; raises `ConfigError` where a name does not tell."""
    mixed = [name for name in label_map.names if plain_name(name) in MIXED]
    if mixed:
        raise ConfigError(
            f"class {mixed[0]!r} may hold both ground and obstacles, so free space cannot be judged. "
            "Give a dataset whose classes keep them apart."
        )
    found = tuple(
        index for index, name in enumerate(label_map.names) if not is_ground(name) and plain_name(name) not in NEITHER
    )
    if not found:
        raise ConfigError(f"no class is an obstacle; this label map has: {', '.join(label_map.names)}.")
    return found


def pedestrian_class(label_map: LabelMap) -> str:
    """The class that means people, on foot where they are told apart; raises `ConfigError` where there is none."""
    plain = {plain_name(name): name for name in reversed(label_map.names)}
    for name in PEDESTRIANS:
        if name in plain:
            return plain[name]
    raise ConfigError(
        f"no class is called pedestrian or person; choose one of this label map's: {', '.join(label_map.names)}."
    )

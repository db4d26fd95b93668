"""Colours in which classes are drawn over video: vivid ones, unlike those of many label palettes."""

from __future__ import annotations

from edgeseg.labels import LabelMap, Rgb

NOT_DRAWN = ("background",)
"""Classes that mean "nothing of interest": drawn only when asked for by name."""

_ROAD_SCENE: dict[str, Rgb] = {
    "sky": (110, 180, 255),
    "building": (176, 132, 96),
    "pole": (235, 235, 235),
    "road": (150, 75, 205),
    "pavement": (255, 135, 225),
    "tree": (60, 170, 60),
    "sign": (255, 230, 0),
    "fence": (0, 190, 175),
    "car": (35, 95, 255),
    "pedestrian": (255, 30, 50),
    "bicyclist": (255, 145, 0),
}
"""Near to the colours of Cityscapes, on which road scenes are shown everywhere, and brightened. CamVid's own palette
gives trees (128, 128, 0) and pedestrians (64, 64, 0): on a dark road neither can be told from the other."""

_SPARE: tuple[Rgb, ...] = (
    (230, 25, 75),
    (60, 180, 75),
    (255, 225, 25),
    (0, 130, 200),
    (245, 130, 48),
    (145, 30, 180),
    (70, 240, 240),
    (240, 50, 230),
    (210, 245, 60),
    (250, 190, 212),
    (0, 128, 128),
    (220, 190, 255),
    (170, 110, 40),
    (255, 250, 200),
    (128, 0, 0),
    (170, 255, 195),
    (128, 128, 0),
    (255, 215, 180),
    (0, 0, 128),
    (128, 128, 128),
)
"""Sasha Trubetskoy, "List of 20 simple, distinct colors" (2017), in the order of his list."""


def display_palette(label_map: LabelMap) -> tuple[Rgb, ...]:
    """One RGB colour for each class, in id order: the road-scene colour of its name, else the most distant spare one.

    More classes than spare colours repeat the spare ones.
    """
    used = [_ROAD_SCENE[name] for name in label_map.names if name in _ROAD_SCENE]
    spare: list[Rgb] = []
    colours: list[Rgb] = []
    for name in label_map.names:
        colour = _ROAD_SCENE.get(name)
        if colour is None:
            spare = spare or list(_SPARE)
            colour = max(spare, key=lambda candidate: min((_distance(candidate, other) for other in used), default=0))
            spare.remove(colour)
            used.append(colour)
        colours.append(colour)
    return tuple(colours)


def _distance(one: Rgb, other: Rgb) -> float:
    """Squared "redmean" distance, near to what the eye sees (Riemersma, compuphase.com/cmetric.htm)."""
    mean_red = (one[0] + other[0]) / 2
    red, green, blue = (a - b for a, b in zip(one, other, strict=True))
    return (2 + mean_red / 256) * red**2 + 4 * green**2 + (2 + (255 - mean_red) / 256) * blue**2

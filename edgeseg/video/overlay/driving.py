"""What a driver looks for: where the free road ends, who stands where, and a warning of who is in the way."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edgeseg.types import Frame
from edgeseg.video.overlay.letters import BLACK, WHITE, Bgr, Letters
from edgeseg.video.scene.base import FreeSpace, Person, Scene

_BOUNDARY: Bgr = (150, 255, 60)
_ON_ROAD: Bgr = (45, 30, 240)
_WARNING_SIZES = (1.7, 1.35, 1.0)
"""Of the warning's letters, relative to plain text: the largest that fits."""
_OTHERS = 12
"""So many people beside the road are marked, the largest; on the road, all."""


def draw_road(picture: Frame, free_space: FreeSpace) -> None:
    """Draw the boundary of the free road into `picture`, BGR uint8 (H, W, 3): a bright line with dark edges."""
    polygon = free_space.polygon_xy
    if len(polygon) < 3:
        return
    height, right = picture.shape[:2]
    # Where the road goes on outside the picture its edge is no boundary: such points are moved out of sight.
    away = 4 + height // 50
    x, y = polygon.T
    x = np.where(x < 2, -away, np.where(x >= right - 2, right + away, x))
    line = [np.column_stack([x, np.where(y >= height - 2, height + away, y)]).astype(np.int32)]
    thick = max(2, round(height / 300))
    cv2.polylines(picture, line, True, BLACK, thick + 2)
    cv2.polylines(picture, line, True, _BOUNDARY, thick)


def draw_people(picture: Frame, people: Sequence[Person]) -> None:
    """Mark people in `picture`, BGR uint8 (H, W, 3): who is on the road in a red box, others by white corners.

    Distances stand above the boxes, where they are known.
    """
    letters = Letters.for_height(len(picture), 0.9)
    thick = max(2, round(len(picture) / 300))
    for person in [person for person in people if not person.on_road][:_OTHERS]:
        _corners(picture, person.box_xywh, thick)
        _tag(picture, person, letters, BLACK)
    for person in people:
        if person.on_road:
            left, top, width, height = person.box_xywh
            cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), WHITE, thick + 2)
            cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), _ON_ROAD, thick)
            _tag(picture, person, letters, _ON_ROAD)


def draw_warning(picture: Frame, scene: Scene, left: int, right: int) -> None:
    """Frame `picture`, BGR uint8 (H, W, 3), in red, and say so in its upper part between two columns, if there is room.

    Where there is none it goes over the whole width. The distance is that of the nearest person on the road.
    """
    height, width = picture.shape[:2]
    edge = max(2, round(height / 120))
    _fill(picture, 0, 0, width, edge, _ON_ROAD)
    _fill(picture, 0, height - edge, width, height, _ON_ROAD)
    _fill(picture, 0, 0, edge, height, _ON_ROAD)
    _fill(picture, width - edge, 0, width, height, _ON_ROAD)
    distances = [person.distance_m for person in scene.people if person.on_road and person.distance_m is not None]
    text = "PERSON AHEAD" + (f"  {min(distances):.0f} m" if distances else "")
    sizes = [Letters.for_height(height, size) for size in _WARNING_SIZES]
    fitting = [letters for letters in sizes if letters.width(text) + 4 * letters.margin <= right - left]
    if not fitting:
        left, right = 0, width
    letters = (fitting or sizes[-1:])[0]
    badge = letters.rendered(letters.fit(text, right - left - 4 * letters.margin), WHITE, _ON_ROAD)
    top = letters.margin + edge
    middle, padding = (left + right - badge.shape[1]) // 2, letters.margin
    _fill(picture, middle - padding, top, middle + badge.shape[1] + padding, top + letters.line + padding, _ON_ROAD)
    _paste(picture, badge, middle, top + padding // 2)


def _corners(picture: Frame, box_xywh: tuple[int, int, int, int], thick: int) -> None:
    """The corners of a box in white, each a quarter of its shorter side long."""
    left, top, width, height = box_xywh
    right, bottom = left + width, top + height
    reach = max(thick, min(width, height) // 4)
    for x in (left, right - reach):
        for y in (top, bottom - thick):
            picture[max(0, y) : max(0, y + thick), max(0, x) : max(0, x + reach)] = 255
    for x in (left, right - thick):
        for y in (top, bottom - reach):
            picture[max(0, y) : max(0, y + reach), max(0, x) : max(0, x + thick)] = 255


def _fill(picture: Frame, left: int, top: int, right: int, bottom: int, colour: Bgr) -> None:
    """Fill a rectangle: for large ones faster than the assignment of a colour in numpy."""
    cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, cv2.FILLED)


def _tag(picture: Frame, person: Person, letters: Letters, paper: Bgr) -> None:
    """Write the distance, if it is known, above the person's box, or inside where the picture ends."""
    if person.distance_m is not None:
        left, top, _, _ = person.box_xywh
        text = letters.rendered(f"{person.distance_m:.0f} m", WHITE, paper)
        _paste(picture, text, left, top - letters.line if top >= letters.line else top)


def _paste(picture: Frame, image: Frame, left: int, top: int) -> None:
    """Copy a small image into `picture`; what lies outside is cut off."""
    left, top = max(0, left), max(0, top)
    place = picture[top : top + len(image), left : left + image.shape[1]]
    place[:] = image[: place.shape[0], : place.shape[1]]

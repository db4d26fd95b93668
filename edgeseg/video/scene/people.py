"""People as connected components, and whether they stand on the road."""

from __future__ import annotations

import cv2
import numpy as np

from edgeseg.labels import LabelMap
from edgeseg.metrics.taxonomy import is_person, is_road
from edgeseg.types import Labels
from edgeseg.video.scene.base import Person
from edgeseg.video.scene.birds_eye import BirdsEye
from edgeseg.video.scene.tables import id_table

MIN_SHARE = 1e-4
"""Smaller components, as a share of the picture's pixels, are specks: 92 pixels at 1280×720, somebody 60 m away."""

MOST_PEOPLE = 32
"""So many are reported, the largest; what has more components is noise."""

_ROWS = 360
"""Larger pictures are looked at on every second, third, … row and column, so that boxes are exact to that."""

_FEET = 0.06
"""The feet stand on what lies so far around the lower edge of the box, as a share of its height, at least 2 pixels."""


class PeopleFinder:
    """Labels uint8 (H, W) → the people in them. People who touch are one, as are a rider and the bicycle's label."""

    def __init__(self, label_map: LabelMap, birds_eye: BirdsEye | None = None) -> None:
        self._people = id_table(label_map, is_person)
        self._road = id_table(label_map, is_road)
        self._birds_eye = birds_eye

    def __call__(self, labels: Labels) -> tuple[Person, ...]:
        """The people of at least `MIN_SHARE` of the picture, largest first, at most `MOST_PEOPLE`."""
        step = max(1, labels.shape[0] // _ROWS)
        mask = cv2.LUT(labels[::step, ::step].copy(), self._people)
        left, top, width, height = cv2.boundingRect(mask)
        if not width:
            return ()
        part = mask[top : top + height, left : left + width]
        _, _, found, _ = cv2.connectedComponentsWithStats(part, connectivity=8, ltype=cv2.CV_32S)
        found = found[1:]  # the first is everything else
        found = found[found[:, cv2.CC_STAT_AREA] >= MIN_SHARE * mask.size]
        found = found[np.argsort(-found[:, cv2.CC_STAT_AREA], kind="stable")][:MOST_PEOPLE]
        found[:, :2] += (left, top)
        found *= [step, step, step, step, step * step]
        return tuple(self._person(labels, *map(int, row)) for row in found)

    def _person(self, labels: Labels, left: int, top: int, width: int, height: int, area: int) -> Person:
        distance_m = None
        if self._birds_eye is not None:
            metres = self._birds_eye.distances_m(np.array([[left + width / 2, top + height]]), labels.shape)[0]
            distance_m = None if np.isnan(metres) else float(metres)
        box = (left, top, width, height)
        return Person(box, area, self._on_road(labels, box), distance_m)

    def _on_road(self, labels: Labels, box: tuple[int, int, int, int]) -> bool:
        """Whether most of what is not a person around the feet is road; so too where the picture ends at the feet."""
        left, top, width, height = box
        reach = max(2, round(_FEET * height))
        feet = labels[max(0, top + height - reach) : top + height + reach, max(0, left - reach) : left + width + reach]
        others = feet[self._people[feet] == 0]
        return bool(2 * np.count_nonzero(self._road[others]) >= others.size)

"""Labels that flicker less: a change is believed when the next frame confirms it, or when the picture changed too."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.labels import LabelMap
from edgeseg.metrics.taxonomy import is_person
from edgeseg.types import Frame, Labels, Segmentation
from edgeseg.video.scene.tables import id_table

_CHANGED_GREY = 12
"""Grey levels by which the picture must change for a new label to be believed at once."""
_GREY_WH = (160, 90)


class Smoother:
    """Segmentations in order → the same, with less flicker.

    People appear at once: what is labelled as a person is never held back.
    """

    def __init__(self, label_map: LabelMap) -> None:
        self._people = id_table(label_map, is_person)
        self._raw: Labels | None = None
        self._shown: Labels | None = None
        self._grey: NDArray[np.uint8] | None = None

    def __call__(self, segmentation: Segmentation, frame_bgr: Frame) -> Segmentation:
        """The segmentation of `frame_bgr`, uint8 (H, W, 3), smoothed. An invalid one stays so, and starts anew."""
        if not segmentation.valid:
            self._raw = self._shown = self._grey = None
            return segmentation
        raw = segmentation.labels
        grey = cv2.cvtColor(cv2.resize(frame_bgr, _GREY_WH, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
        shown = raw
        before, self._raw = self._raw, raw
        if before is not None and before.shape == raw.shape and self._shown is not None and self._grey is not None:
            held = cv2.compare(raw, before, cv2.CMP_NE)
            changed = cv2.threshold(cv2.absdiff(grey, self._grey), _CHANGED_GREY, 255, cv2.THRESH_BINARY)[1]
            changed = cv2.resize(changed, raw.shape[::-1], interpolation=cv2.INTER_NEAREST)
            believed = cv2.bitwise_or(changed, cv2.LUT(raw, self._people))
            cv2.bitwise_and(held, cv2.bitwise_not(believed), held)
            shown = raw.copy()
            cv2.copyTo(self._shown, held, shown)
        self._shown, self._grey = shown, np.asarray(grey, np.uint8)
        return replace(segmentation, labels=shown)

"""All that a driver needs of a frame's labels, in one call."""

from __future__ import annotations

from edgeseg.labels import LabelMap
from edgeseg.metrics.taxonomy import is_person, is_road
from edgeseg.types import Segmentation
from edgeseg.video.scene.ahead import AheadConfig, AheadEvent, anybody_ahead
from edgeseg.video.scene.base import Scene
from edgeseg.video.scene.birds_eye import BirdsEye
from edgeseg.video.scene.free_space import FreeSpaceFinder
from edgeseg.video.scene.people import PeopleFinder
from edgeseg.video.scene.shares import class_shares
from edgeseg.video.sources.base import FrameRecord


class SceneAnalyser:
    """A frame's record and segmentation → its `Scene`. Frames must come in order, for the events have a memory.

    Classes are found by their names (`edgeseg.metrics.taxonomy`). Without a road there is no free space and nobody on
    it, without people there are none. With a `homography` distances are in metres. `fps` is the rate of a recording, in
    which a frame's time follows from its index; without it, for a live source, time stamps are taken.
    """

    def __init__(
        self,
        label_map: LabelMap,
        *,
        homography: BirdsEye | None = None,
        fps: float | None = None,
        ahead: AheadConfig | None = None,
    ) -> None:
        self._label_map = label_map
        self._fps = fps
        has_road = any(map(is_road, label_map.names))
        has_people = any(map(is_person, label_map.names))
        self._free_space = FreeSpaceFinder(label_map, homography) if has_road else None
        self._people = PeopleFinder(label_map, homography) if has_people else None
        self._ahead = AheadEvent(ahead)

    def __call__(self, record: FrameRecord, segmentation: Segmentation) -> Scene:
        """The scene of this frame; an invalid one has nothing in it, and leaves the event as it was."""
        if not segmentation.valid:
            return Scene(shares={}, person_ahead=self._ahead.ahead)
        labels = segmentation.labels
        time_s = record.index / self._fps if self._fps else record.timestamp_s
        free_space = self._free_space(labels, time_s) if self._free_space else None
        people = self._people(labels) if self._people else ()
        seen = anybody_ahead(people, (labels.shape[0], labels.shape[1]), self._ahead.config)
        event = self._ahead.step(seen, time_s)
        return Scene(
            class_shares(labels, self._label_map),
            free_space,
            people,
            person_ahead=self._ahead.ahead,
            event=event,
        )

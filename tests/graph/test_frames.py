"""The scenes that exports are compared on."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.graph import frames as stage
from edgeseg.graph.frames import SCENES, road_scenes


def test_all_weathers_come_first_and_every_frame_is_another() -> None:
    scenes = road_scenes((64, 96), (64, 96))
    assert [scene.name.partition("_")[0] for scene in scenes[: len(SCENES)]] == list(SCENES)
    assert {scene.frame_bgr.shape for scene in scenes} == {(64, 96, 3)}
    assert len({scene.frame_bgr.tobytes() for scene in scenes}) == len(scenes) == 10
    assert len({scene.name for scene in scenes}) == 10


def test_a_graph_for_any_camera_is_shown_two_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "SCENES", ("day", "fog"))
    shapes = {scene.frame_bgr.shape[:2] for scene in road_scenes(None, (64, 96))}
    assert len(shapes) == 2
    assert (64, 96) in shapes


def test_sizes_that_the_drive_does_not_draw_are_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "SCENES", ("day",))
    (frame, *_) = (scene.frame_bgr for scene in road_scenes((40, 48), (64, 96)))
    assert frame.shape == (40, 48, 3)
    assert frame.dtype == np.uint8

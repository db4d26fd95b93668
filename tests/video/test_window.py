from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted_stream import ScriptedSource, brightness_segmenter, grey_frame

from edgeseg.labels import CAMVID
from edgeseg.types import Frame
from edgeseg.video.controls import Controls
from edgeseg.video.loop import LoopConfig, run_loop
from edgeseg.video.overlay import Overlay
from edgeseg.video.stats import Ended, RunReport
from edgeseg.video.window import WindowSink

NO_KEY = -1


class FakeGui:
    """`cv2`'s window functions: keys come from a list, one for each picture, "x" closes the window."""

    def __init__(self, keys: Sequence[str | int], *, raises: bool = False) -> None:
        self._keys = list(keys)
        self._raises = raises
        self.shown: list[Frame] = []
        self.open = False

    def namedWindow(self, *_: object) -> None:  # noqa: N802 - OpenCV's names
        self.open = True

    def imshow(self, _: str, picture: Frame) -> None:
        self.shown.append(picture.copy())

    def pollKey(self) -> int:  # noqa: N802
        key = self._keys.pop(0) if self._keys else NO_KEY
        if key == "x":
            self.open = False
            return NO_KEY
        return key if isinstance(key, int) else ord(key)

    def getWindowProperty(self, _: str, prop: int) -> float:  # noqa: N802
        if self._raises and not self.open:
            raise cv2.error("NULL guiReceiver (please create a window)")
        return 1.0 if self.open and prop == cv2.WND_PROP_VISIBLE else -1.0

    def destroyAllWindows(self) -> None:  # noqa: N802
        self.open = False


def watch(gui: FakeGui, tmp_path: Path, frames: int = 6, overlay: Overlay | None = None) -> RunReport:
    """Run the loop with a window on `gui`."""
    controls = Controls(CAMVID)
    source = ScriptedSource([grey_frame(20 * index, (48, 64)) for index in range(frames)])
    with WindowSink(gui, "test", controls) as window:
        return run_loop(
            source,
            brightness_segmenter(),
            [window],
            overlay=overlay or Overlay(CAMVID),
            controls=controls,
            config=LoopConfig(snapshots=tmp_path),
        )


def test_every_frame_is_shown(tmp_path: Path) -> None:
    gui = FakeGui([])
    report = watch(gui, tmp_path)
    assert (report.frames, report.ended) == (6, Ended.SOURCE)
    assert len(gui.shown) == 6
    assert not gui.open


@pytest.mark.parametrize("key", ["q", "Q", 27, ord("q") | 0x100000])
def test_q_and_escape_quit_after_the_frame(tmp_path: Path, key: str | int) -> None:
    report = watch(FakeGui([NO_KEY, key]), tmp_path)
    assert (report.frames, report.ended) == (2, Ended.KEY)
    assert report.captured == 2 + report.dropped


@pytest.mark.parametrize("raises", [False, True])  # OpenCV 4 and OpenCV 5, with Qt
def test_a_closed_window_quits(tmp_path: Path, raises: bool) -> None:
    assert watch(FakeGui([NO_KEY, "x"], raises=raises), tmp_path).frames == 2


def test_a_toolkit_that_cannot_tell_whether_a_window_is_open_goes_on(tmp_path: Path) -> None:
    gui = FakeGui([])
    gui.getWindowProperty = lambda *_: -1.0  # type: ignore[method-assign]
    assert watch(gui, tmp_path).frames == 6


def test_space_pauses_until_the_next_one(tmp_path: Path) -> None:
    gui = FakeGui([NO_KEY, " ", NO_KEY, NO_KEY, " ", NO_KEY])
    report = watch(gui, tmp_path)
    assert report.frames == 6
    assert len(gui.shown) == 6 + 3
    # What is shown while paused is no live picture.
    assert all((gui.shown[index] != gui.shown[1]).any() for index in (2, 3, 4))


def test_a_pause_can_be_left_by_q(tmp_path: Path) -> None:
    report = watch(FakeGui([" ", "q"]), tmp_path)
    assert (report.frames, report.ended) == (1, Ended.KEY)


def test_keys_are_heard_while_there_is_no_picture(tmp_path: Path) -> None:
    class Silent(ScriptedSource):
        """A camera that never gives a frame."""

        live = True

        def read(self, timeout_s: float = 1.0) -> None:
            time.sleep(min(timeout_s, 0.01))

    controls, gui, source = Controls(CAMVID), FakeGui(["q"]), Silent([])
    source.clock = time.perf_counter
    with WindowSink(gui, "test", controls) as window:
        report = run_loop(source, brightness_segmenter(), [window], overlay=Overlay(CAMVID), controls=controls)
    assert (report.frames, report.ended) == (0, Ended.KEY)
    assert len(gui.shown) == 1


def test_o_changes_the_overlay_also_while_paused(tmp_path: Path) -> None:
    overlay = Overlay(CAMVID)
    gui = FakeGui([" ", "o", " "])
    watch(gui, tmp_path, frames=1, overlay=overlay)
    assert overlay.mode == "outline"
    assert len(gui.shown) == 3
    assert (gui.shown[1] != gui.shown[2]).any()


def test_s_saves_what_is_shown(tmp_path: Path) -> None:
    gui = FakeGui([NO_KEY, "s"])
    report = watch(gui, tmp_path)
    saved = cv2.imread(str(tmp_path / "edgeseg-000001.png"))
    np.testing.assert_array_equal(saved, gui.shown[1])
    assert report.notes == (f"saved {tmp_path / 'edgeseg-000001.png'}",)

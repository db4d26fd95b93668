"""What a person may change while the loop runs: from keys in the window, from the live page, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from edgeseg.errors import ConfigError
from edgeseg.labels import LabelMap
from edgeseg.video.overlay import MODES
from edgeseg.video.stats import Ended


class Controls:
    """The wishes of who watches; the loop follows them before its next picture. Safe to use from any thread.

    `mode` is one of `edgeseg.video.overlay.MODES`; `classes` are drawn, all if `None`.
    """

    def __init__(self, label_map: LabelMap, *, mode: str = "blend", classes: Sequence[str] | None = None) -> None:
        self._lock = threading.Lock()
        self._label_map = label_map
        self._paused = False
        self._stopped: Ended | None = None
        self._snapshots = 0
        self.mode = mode
        self.classes = classes

    @property
    def paused(self) -> bool:
        """Whether the picture stands still. Frames of a live source are then dropped, those of a file wait."""
        return self._paused

    @paused.setter
    def paused(self, value: bool) -> None:
        self._paused = value

    def toggle_paused(self) -> None:
        """Pause, or go on."""
        with self._lock:
            self._paused = not self._paused

    @property
    def mode(self) -> str:
        """How the overlay draws; setting anything but one of `MODES` raises `ConfigError`."""
        return self._mode

    @mode.setter
    def mode(self, value: str) -> None:
        if value not in MODES:
            raise ConfigError(f"overlay mode {value!r} is unknown; choose one of: {', '.join(MODES)}.")
        self._mode = value

    def next_mode(self) -> None:
        """Switch to the overlay mode after this one."""
        with self._lock:
            self._mode = MODES[(MODES.index(self._mode) + 1) % len(MODES)]

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes drawn, all if `None`; setting a name that the model lacks raises `ConfigError`."""
        return self._classes

    @classes.setter
    def classes(self, names: Sequence[str] | None) -> None:
        if names is not None:
            self._label_map.ids(names)
        self._classes = None if names is None else tuple(names)

    def ask_snapshot(self) -> None:
        """Have the picture that is shown, or the next one where there is none yet, saved as a PNG file."""
        with self._lock:
            self._snapshots += 1

    def take_snapshots(self) -> int:
        """How many snapshots were asked for since the last call: for the loop, which makes them."""
        with self._lock:
            asked, self._snapshots = self._snapshots, 0
        return asked

    @property
    def stopped(self) -> Ended | None:
        """Why the run shall end; `None` while nobody has asked for it."""
        return self._stopped

    def stop(self, why: Ended = Ended.PAGE) -> None:
        """End the run; its files are finished."""
        self._stopped = why

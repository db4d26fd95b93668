"""How much sixteen browsers slow the loop, four of which read one byte a second: `python benchmarks/live_page.py`.

One run of the loop at 1280×720 with overlay and analysis, whose model takes a fixed time without using the processor,
as on a device with a GPU; `--bundle` runs a real model instead. Phases without and with the browsers follow each other
in turn, so that what else the machine does falls on both. The browsers are a process of their own. The rates of a phase
are its processed frames over its time; the fall is that of each pair of phases, and the median over the pairs counts.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median

from edgeseg.cli.output import format_table
from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.labels import CAMVID
from edgeseg.runtime import load_segmenter
from edgeseg.runtime.fake import FakeSession
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.video.controls import Controls
from edgeseg.video.loop import run_loop
from edgeseg.video.overlay import Overlay
from edgeseg.video.scene.analyser import SceneAnalyser
from edgeseg.video.sources.base import FrameRecord, Source
from edgeseg.web.hub import MAX_VIEWERS, Hub
from edgeseg.web.server import LivePage, ServeConfig
from edgeseg.web.state import Subject
from edgeseg.web.vitals import Vitals

SIZE_HW = (720, 1280)
SLOW = 4
LIMIT = 0.02
SETTLE_S = 1.0


class Endless(Source):
    """Frames of a drive, over and over, as fast as they are taken."""

    def __init__(self, count: int = 12) -> None:
        super().__init__("synthetic://drive")
        drive = SyntheticDrive(size_hw=SIZE_HW)
        self._shots = [drive.frame(5 * index) for index in range(count)]

    def _take(self) -> FrameRecord:
        frame_bgr, _ = self._shots[self.captured % len(self._shots)]
        return FrameRecord(self.captured, frame_bgr, self.clock(), f"{self.captured:06d}")

    def labels(self) -> FakeSession:
        """A session that gives one frame's labels after the time of a model that keeps up with 30 frames/s."""
        return FakeSession(self._shots[0][1], delay_s=0.030)


def browse(port: int) -> None:
    """The browsers: all but four read whatever comes, those a byte a second. Runs until it is killed."""
    selector = selectors.DefaultSelector()
    slow = []
    for index in range(MAX_VIEWERS):
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        if index < SLOW:
            slow.append(client)
        else:
            selector.register(client, selectors.EVENT_READ)
    due_s = time.monotonic()
    while True:
        for key, _ in selector.select(timeout=0.2):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.recv(1 << 18)
        if time.monotonic() >= due_s:
            due_s += 1.0
            for client in slow:
                client.setblocking(False)
                with suppress(BlockingIOError):
                    client.recv(1)


@contextmanager
def browsers(page: LivePage, hub: Hub) -> Iterator[None]:
    """Sixteen of them, in a process of their own."""
    process = subprocess.Popen([sys.executable, __file__, "--browse", str(page.port)])
    try:
        while hub.viewers < MAX_VIEWERS:
            time.sleep(0.01)
        time.sleep(SETTLE_S)
        yield
    finally:
        process.kill()
        process.wait()


def rate(vitals: Vitals, seconds: float) -> float:
    """Frames a second that the loop processes in a phase of so many seconds."""
    first, began_s = vitals.view().pulse.processed, time.perf_counter()
    time.sleep(seconds)
    return (vitals.view().pulse.processed - first) / (time.perf_counter() - began_s)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Rate of the loop without and with sixteen browsers.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a phase")
    parser.add_argument("--bundle", type=Path, help="a real model instead of a fixed 30 ms")
    parser.add_argument("--browse", type=int, metavar="PORT", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.browse:
        browse(args.browse)
    source = Endless()
    controls, vitals = Controls(CAMVID), Vitals(CAMVID.names)
    pairs = []
    with ExitStack() as stack:
        session = Segmenter.from_session(source.labels(), CAMVID)
        segmenter = stack.enter_context(session if args.bundle is None else load_segmenter(args.bundle))
        hub = stack.enter_context(Hub(vitals))
        page = stack.enter_context(LivePage(hub, Subject(source, CAMVID, controls, vitals), ServeConfig(port=0)))
        kwargs = {"overlay": Overlay(CAMVID), "analyser": SceneAnalyser(CAMVID), "controls": controls}
        loop = threading.Thread(target=run_loop, args=(source, segmenter, [hub]), kwargs=kwargs)
        loop.start()
        time.sleep(SETTLE_S)
        for _ in range(args.rounds):
            alone = rate(vitals, args.seconds)
            with browsers(page, hub):
                pairs.append((alone, rate(vitals, args.seconds)))
            time.sleep(SETTLE_S)
        controls.stop()
        loop.join()
    falls = [1 - watched / alone for alone, watched in pairs]
    rows = [
        [str(number), f"{alone:.2f}/s", f"{watched:.2f}/s", f"{100 * fall:+.2f} %"]
        for number, ((alone, watched), fall) in enumerate(zip(pairs, falls, strict=True), 1)
    ]
    print(format_table(["round", "alone", "16 browsers", "fall"], rows))
    print(f"\nmedian fall {100 * median(falls):+.2f} % (limit {100 * LIMIT:g} %)")


if __name__ == "__main__":
    main()

"""Records the synthetic drive until it is killed: `python record_until_killed.py VIDEO LOG FPS_OR_0`.

Each frame carries its number. Before it is handed to the sink, number and wall time go into LOG. With a rate the frames
come at that rate, with 0 as fast as they can.
"""

from __future__ import annotations

import os
import sys
import time
from itertools import count
from pathlib import Path

from counted_frames import counted_frame, counted_result

from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.video.sinks import VideoFileSink


def record(video: Path, log: Path, fps: float) -> None:
    """Until somebody ends this process."""
    drive = SyntheticDrive(size_hw=(96, 128))
    drawn = [drive.frame(index)[0] for index in range(20)]
    sink = VideoFileSink(video, fps=30)
    handed = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    began = time.monotonic()
    for index in count():
        if fps:
            time.sleep(max(0.0, began + index / fps - time.monotonic()))
        os.write(handed, f"{index} {time.time()}\n".encode())
        sink.write(counted_result(index, frame=counted_frame(index, drawn[index % len(drawn)])))


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))

"""A line of JSON for each frame, and the page that explains its keys."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted_stream import ScriptedSource, TickClock, grey_frame

from edgeseg import __version__
from edgeseg.errors import ConfigError, OutputError
from edgeseg.types import Segmentation
from edgeseg.video.health.base import FAULTS, Health
from edgeseg.video.results import FrameResult, Pulse
from edgeseg.video.scene.base import FreeSpace, Person, Scene
from edgeseg.video.sinks import JsonLinesSink
from edgeseg.video.sources.base import FrameRecord, SourceState

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "json-lines.md").read_text()
PICTURE = grey_frame(9)
SCENE = Scene(
    shares={"road": 0.25, "sky": math.nan},
    free_space=FreeSpace(
        np.asarray([[0, 23], [5, 10], [31, 23]], np.int32),
        np.asarray([0, 16, 31], np.int32),
        np.asarray([23, 10, 24], np.int32),
        np.asarray([1.25, 17.5, np.nan]),
    ),
    people=(Person((3, 4, 5, 6), 21, on_road=True, distance_m=12.5), Person((1, 1, 2, 2), 4, on_road=False)),
    person_ahead=True,
    event="person_ahead",
)
PULSE = Pulse(
    fps=14.9,
    age_ms=61.5,
    stages_ms={"capture": 2.0, "inference": 50.25, "overlay": math.inf},
    captured=12,
    processed=9,
    dropped=2,
    failed=1,
    deadline_ms=60.0,
    deadline_misses=4,
    degraded="CPU instead of TensorRT",
)


def frame_result(index: int = 0, at_s: float = 0.0, scene: Scene | None = SCENE) -> FrameResult:
    record = FrameRecord(index, PICTURE, at_s, f"{index:06d}", media_s=0.04 * index)
    segmentation = Segmentation(np.zeros((24, 32), np.uint8), 50.0)
    return FrameResult(record, segmentation, scene=scene, health=Health(("blurred",)), pulse=PULSE)


class Networked(ScriptedSource):
    """A source that was lost twice."""

    @property
    def state(self) -> SourceState:
        return SourceState("stalled", reconnects=2)


def lines(path: Path) -> list[dict[str, Any]]:
    """All lines; what JSON does not know is an error."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = path.read_text()
    assert not text or text.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_everything_of_a_frame_is_in_its_line(tmp_path: Path) -> None:
    path = tmp_path / "new" / "drive.jsonl"
    source = Networked([PICTURE], TickClock())
    began = 1_790_000_000.0 + source.clock()
    with JsonLinesSink(path, source, wall_clock=lambda: began) as sink:
        sink.write(frame_result(7, 3.5))
    run, frame = lines(path)
    assert run == {
        "event": "run",
        "schema": 1,
        "edgeseg": __version__,
        "uri": source.uri,
        "time_s": source.clock(),
        "time_utc": "2026-09-21T14:13:20.000Z",
        "source": {"link": "stalled", "reconnects": 2},
    }
    assert frame == {
        "event": "person_ahead",
        "frame": 7,
        "name": "000007",
        "time_s": 3.5,
        "time_utc": "2026-09-21T14:13:23.500Z",
        "media_s": 0.28,
        "valid": True,
        "age_ms": 61.5,
        "stages_ms": {"capture": 2.0, "inference": 50.25, "overlay": None},
        "fps": 14.9,
        "shares": {"road": 0.25, "sky": None},
        "free_space": {
            "polygon": [[0, 23], [5, 10], [31, 23]],
            "columns": [0, 16, 31],
            "rows": [23, 10, 24],
            "distances_m": [1.25, 17.5, None],
        },
        "people": [
            {"box": [3, 4, 5, 6], "area_px": 21, "on_road": True, "distance_m": 12.5},
            {"box": [1, 1, 2, 2], "area_px": 4, "on_road": False, "distance_m": None},
        ],
        "person_ahead": True,
        "faults": ["blurred"],
        "degraded": "CPU instead of TensorRT",
        "counters": {"captured": 12, "processed": 9, "dropped": 2, "failed": 1, "deadline_misses": 4},
        "source": {"link": "stalled", "reconnects": 2},
    }


def test_without_analysis_and_source(tmp_path: Path) -> None:
    with JsonLinesSink(tmp_path / "a.jsonl") as sink:
        sink.write(frame_result(scene=None))
    run, frame = lines(tmp_path / "a.jsonl")
    assert run["uri"] is None
    assert (frame["event"], frame["shares"], frame["free_space"], frame["people"], frame["person_ahead"]) == (
        None,
        None,
        None,
        [],
        False,
    )
    assert frame["source"] is None


def test_a_gap_is_two_lines_however_long_it_is(tmp_path: Path) -> None:
    with JsonLinesSink(tmp_path / "a.jsonl") as sink:
        sink.write(frame_result(0))
        for _ in range(5):
            sink.waiting(PICTURE)
        sink.write(frame_result(1))
        sink.write(frame_result(2))
        sink.waiting(PICTURE)
    told = [(line["event"], line.get("frame")) for line in lines(tmp_path / "a.jsonl")]
    event = "person_ahead"
    assert told == [
        ("run", None),
        (event, 0),
        ("waiting", None),
        ("resumed", None),
        (event, 1),
        (event, 2),
        ("waiting", None),
    ]


def test_the_page_explains_every_key_and_no_other(tmp_path: Path) -> None:
    with JsonLinesSink(tmp_path / "a.jsonl", Networked([PICTURE])) as sink:
        sink.waiting(PICTURE)
        sink.write(frame_result())
    run, waiting, resumed, frame = lines(tmp_path / "a.jsonl")
    always = explained("Every line")
    assert set(_keys(waiting)) == set(_keys(resumed)) == always
    assert set(_keys(run)) == always | explained("Run line")
    assert set(_keys(frame)) == always | explained("Frame line")
    for fault in FAULTS:
        assert f"`{fault}`" in PAGE


def explained(section: str) -> set[str]:
    """The keys in the table under a heading of the page."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def _keys(value: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, inside in value.items():
        yield above + key
        if key in ("shares", "stages_ms"):
            yield f"{above}{key}.NAME"  # whatever the classes and stages are
        elif isinstance(inside, dict):
            yield from _keys(inside, f"{above}{key}.")
        elif isinstance(inside, list) and inside and isinstance(inside[0], dict):
            yield from _keys(inside[0], f"{above}{key}[].")


def test_a_kill_loses_no_line(tmp_path: Path) -> None:
    """Each line is in the file when `write` returns; a run after it begins with a line of its own."""
    path = tmp_path / "a.jsonl"
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from test_json_lines import JsonLinesSink, frame_result\n"
        "sink = JsonLinesSink(Path(sys.argv[1]))\n"
        "for index in range(40): sink.write(frame_result(index))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    tests = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tests.parents[1], tests.parent, tests)))}
    done = subprocess.run([sys.executable, "-c", script, str(path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [line.get("frame") for line in lines(path)] == [None, *range(40)]
    path.write_bytes(path.read_bytes()[:-10])  # a power cut
    with JsonLinesSink(path) as sink:
        sink.write(frame_result(0))
    whole = [line for line in path.read_text().splitlines() if line.endswith("}")]
    assert [json.loads(line).get("frame") for line in whole] == [None, *range(39), None, 0]


def test_about_once_a_second_it_is_forced_onto_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = threading.Semaphore(0)
    monkeypatch.setattr(os, "fsync", lambda _: synced.release())
    clock = TickClock()
    source = ScriptedSource([PICTURE], clock)
    with JsonLinesSink(tmp_path / "a.jsonl", source) as sink:
        for second in range(3):
            for index in range(10):
                sink.write(frame_result(10 * second + index))
            assert not synced.acquire(blocking=False)
            clock.now += 1.0
            sink.write(frame_result())
            assert synced.acquire(timeout=30)
    assert synced.acquire(blocking=False)  # and at the end


def test_a_disk_that_is_slow_does_not_hold_up_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda _: gate.wait(60))
    clock = TickClock()
    with JsonLinesSink(tmp_path / "a.jsonl", ScriptedSource([PICTURE], clock)) as sink:
        for index in range(20):
            clock.now += 1.0
            sink.write(frame_result(index))
        assert len(lines(tmp_path / "a.jsonl")) == 21
        gate.set()


def test_a_fifo_takes_the_place_of_a_file(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.extend(fifo.read_text().splitlines()))
    reader.start()
    with JsonLinesSink(fifo) as sink:
        sink.write(frame_result(5))
    reader.join(30)
    assert [json.loads(line).get("frame") for line in received] == [None, 5]


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="the report is printed there"):
        JsonLinesSink(Path("-"))
    with pytest.raises(ConfigError, match="is a folder"):
        JsonLinesSink(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        JsonLinesSink(tmp_path / "file" / "a.jsonl")
    with pytest.raises(OutputError, match="No space left"):
        JsonLinesSink(Path("/dev/full"))
    sink = JsonLinesSink(tmp_path / "a.jsonl")

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OutputError, match=r"a\.jsonl: cannot be continued \(Input/output error\)"):
        sink.close()
    sink.close()

"""`edgeseg serve` as a person starts it: a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny_bundle import tiny_bundle

from edgeseg.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
DRIVE = "synthetic://drive?size=96x128"


@contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the first address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeseg.cli.main", "serve", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.fullmatch(r"live page: (http://\S+)\n", line)
        if address is None:
            raise AssertionError(line + str(process.communicate(timeout=PATIENCE_S)))
        yield process, address[1]
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_S)


def fetch(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
        return json.loads(answer.read())


def wait_for_frames(address: str, count: int) -> Any:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        state = fetch(f"{address}api/state")
        if state["processed"] >= count:
            return state
        time.sleep(0.05)
    raise AssertionError(f"fewer than {count} frames after {PATIENCE_S:g} s")


def test_it_serves_until_a_signal_and_then_reports(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "tiny.edgeseg")
    report = tmp_path / "report.json"
    with serving(DRIVE, str(bundle.path), "--port", "0", "--json", str(report)) as (process, address):
        state = wait_for_frames(address, 3)
        assert state["runtime"] == {"bundle": "tiny.edgeseg", "backend": "onnxruntime", "precision": "fp32"}
        assert [entry["name"] for entry in state["classes"]] == ["blue", "green", "red"]
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, err
    assert "frames/s" in out
    assert json.loads(report.read_text())["ended"] == "signal"


def test_a_folder_of_images_begins_again_at_its_end(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    bundle = tiny_bundle(tmp_path / "tiny.edgeseg")
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((48, 64, 3), 40 * index, np.uint8))
    with serving(str(tmp_path), str(bundle.path), "--port", "0") as (_, address):
        state = wait_for_frames(address, 7)
        assert state["processed"] > 2 * 3, "it has begun a third time"


def test_the_token_of_the_environment_is_not_shown_to_other_users_of_the_machine(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "tiny.edgeseg")
    token = "token-from-outside"
    with serving(DRIVE, str(bundle.path), "--port", "0", EDGESEG_TOKEN=token) as (process, address):
        assert address.endswith(f"/?token={token}")
        if Path("/proc/self/cmdline").exists():
            assert token not in Path(f"/proc/{process.pid}/cmdline").read_text()
        with pytest.raises(urllib.error.HTTPError) as refusal:
            fetch(address.replace(f"?token={token}", "api/state"))
        assert refusal.value.code == 401
        refusal.value.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "99999"], "--port 99999"),
        (["--token", "short"], "12 or more characters"),
        (["--page-fps", "0"], "--page-fps"),
        (["--host", "no-such-host.invalid"], "no-such-host.invalid"),
    ],
)
def test_bad_settings_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    bundle = tiny_bundle(tmp_path / "tiny.edgeseg")
    assert main(["serve", DRIVE, str(bundle.path), *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert "short" not in said


def test_without_starlette_it_is_an_install_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", DRIVE, str(tmp_path)]) == 3
    assert "pip install 'edgeseg[web]'" in capsys.readouterr().err

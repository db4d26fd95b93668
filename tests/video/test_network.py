"""Network streams through OpenCV's own FFmpeg, from real servers on the loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted_stream import TickClock
from tiny_bundle import tiny_bundle
from tiny_mjpeg import TinyMjpeg
from tiny_rtsp import TinyRtsp, TinyServer, level_frame

from edgeseg import open_source
from edgeseg.errors import SourceError, UnavailableError
from edgeseg.types import Frame
from edgeseg.video.opencv import OpenCvBuild, opencv_build
from edgeseg.video.sources import FrameRecord, Source
from edgeseg.video.sources.diagnosis import why_closed
from edgeseg.video.sources.network import open_rtsp, open_stream
from edgeseg.video.sources.reconnecting import Reconnecting
from edgeseg.video.sources.redact import redact

SOON_S = 30.0
"""Far more than any step needs; a test that waits so long has failed."""
LOGIN = ("driver", "s3cret")

ffmpeg = pytest.mark.skipif(not opencv_build().ffmpeg, reason="this OpenCV has no FFmpeg")
both = pytest.mark.parametrize("server_of", [TinyRtsp, TinyMjpeg], ids=["rtsp", "http"])


def next_frame(source: Source) -> FrameRecord:
    """The next frame, which must come."""
    until_s = time.monotonic() + SOON_S
    while time.monotonic() < until_s:
        record = source.read(0.1)
        if record is not None:
            return record
    raise AssertionError(f"no frame: {source.state}")


def wait_until(holds: Callable[[], bool], source: Source | None = None) -> None:
    """Wait for something to happen, while somebody reads."""
    until_s = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < until_s
        if source is None:
            time.sleep(0.01)
        else:
            source.read(0.02)


@ffmpeg
@both
class TestStreams:
    def test_frames_come(self, server_of: type[TinyServer]) -> None:
        with server_of() as server, open_source(server.url) as source:
            records = [next_frame(source) for _ in range(5)]
            assert source.live
            assert source.uri == server.url
        for record in records:
            assert record.frame_bgr.shape == (48, 64, 3)
            assert record.frame_bgr.dtype == np.uint8
            level = int(np.median(record.frame_bgr))
            assert min(abs(level - 10 * step) for step in range(25)) <= 2  # Motion JPEG is lossy
        indices = [record.index for record in records]
        assert indices == sorted(set(indices))
        assert source.captured == len(records) + source.dropped

    def test_a_stall_is_left_behind_and_the_stream_found_again(self, server_of: type[TinyServer]) -> None:
        with server_of() as server, open_source(server.url) as source:
            last = next_frame(source)
            server.stalled.set()
            wait_until(lambda: source.state.link == "reconnecting", source)
            assert "no frame for 2 s" in source.state.reason
            server.stalled.clear()
            following = next_frame(source)
            assert following.index > last.index
            assert source.state.reconnects == 1
            if last.media_s is not None:
                assert following.media_s is not None
                assert following.media_s > last.media_s
        wait_until(lambda: not any(thread.name.startswith("edgeseg") for thread in threading.enumerate()))
        assert "lost and found again once" in source.notes[0]

    def test_a_cut_connection_is_opened_again(self, server_of: type[TinyServer]) -> None:
        with server_of() as server, open_source(server.url) as source:
            next_frame(source)
            server.cut()
            wait_until(lambda: "refuses connections" in source.state.reason, source)
            server.come_back()
            next_frame(source)
            wait_until(lambda: source.state.link == "connected", source)
            assert source.state.reconnects == 1

    def test_login(self, server_of: type[TinyServer]) -> None:
        with server_of(login=LOGIN) as server:
            scheme, place = server.url.split("://")
            with open_source(f"{scheme}://driver:s3cret@{place}") as source:
                next_frame(source)
                assert source.uri == f"{scheme}://***@{place}"
            with pytest.raises(SourceError, match="wants a user and a password"):
                open_source(server.url)
            for wrong in ("driver:wr0ng", "wr0ng:s3cret", "driver:"):
                with pytest.raises(SourceError, match=r"does not accept this user and password \(401\)") as caught:
                    open_source(f"{scheme}://{wrong}@{place}")
                assert not any(word in str(caught.value) for word in ("driver", "wr0ng", "s3cret"))

    def test_nobody_there(self, server_of: type[TinyServer]) -> None:
        server = server_of()
        with server:
            pass
        with pytest.raises(SourceError, match="refuses connections on this port"):
            open_source(server.url)


def halves(index: int) -> Frame:
    """Black on the left, white on the right; twice the size from the 20th on."""
    height, width = (48, 64) if index < 20 else (96, 128)
    frame = np.zeros((height, width, 3), np.uint8)
    frame[:, width // 2 :] = 255
    return frame


@ffmpeg
@pytest.mark.parametrize(("server_of", "new_hw"), [(TinyRtsp, (96, 128)), (TinyMjpeg, (48, 64))], ids=["rtsp", "http"])
def test_a_picture_that_changes_its_size_stays_whole(server_of: type[TinyServer], new_hw: tuple[int, int]) -> None:
    """OpenCV scales it to the first size where FFmpeg does not tell of the change."""
    with server_of(halves) as server, open_source(server.url) as source:
        shapes = set()
        record = next_frame(source)
        while record.index < 40:
            shapes.add(record.frame_bgr.shape[:2])
            record = next_frame(source)
    assert shapes == {(48, 64), new_hw}
    grey = record.frame_bgr.mean(axis=(0, 2))
    width = new_hw[1]
    assert grey[: width // 2 - 8].max() < 20
    assert grey[width // 2 + 8 :].min() > 235


@ffmpeg
class TestRtsp:
    def test_goes_over_tcp_unless_the_user_has_chosen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", raising=False)
        with TinyRtsp() as server:
            open_rtsp(server.url.partition("://")[2], time.perf_counter).close()
            setup = [request for request in server.asked if request.startswith("SETUP")]
            assert ["RTP/AVP/TCP" in request for request in setup] == [True]
            monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;udp")
            before = len(server.asked)
            with pytest.raises(SourceError):  # this server does not speak UDP
                open_rtsp(server.url.partition("://")[2], time.perf_counter)
            assert any("RTP/AVP/UDP" in request for request in server.asked[before:])
            assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] == "rtsp_transport;udp"

    def test_rate_and_time_stamps_are_the_stream_s(self) -> None:
        with TinyRtsp(fps=20.0) as server, open_source(server.url) as source:
            for _ in range(3):  # OpenCV gives the first two the same time
                first = next_frame(source)
            second = next_frame(source)
        assert source.fps == 20.0
        assert first.media_s is not None
        assert second.media_s is not None
        assert second.media_s - first.media_s == pytest.approx((second.index - first.index) / 20.0, abs=1e-3)


@ffmpeg
def test_a_multipart_stream_has_no_rate_and_no_time_of_its_own() -> None:
    with TinyMjpeg(fps=10.0) as server, open_source(server.url) as source:
        assert next_frame(source).media_s is None
    assert source.fps is None


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that says one thing to everybody, and nothing more."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(4096)
                client.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.parametrize(
    ("scheme", "answer", "said"),
    [
        ("rtsp", b"RTSP/1.0 404 Not Found\r\n\r\n", "no such stream (404)"),
        ("rtsp", b"RTSP/1.0 403 Forbidden\r\n\r\n", "does not accept this user and password (403)"),
        ("rtsp", b"RTSP/1.0 503 Service Unavailable\r\n\r\n", "answers 503"),
        ("rtsp", b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak RTSP"),
        ("rtsp", b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak RTSP"),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html>", "decode (text/html)"),
        ("http", b"", "does not speak HTTP"),
    ],
)
def test_what_a_server_says_is_told(scheme: str, answer: bytes, said: str) -> None:
    with answering(answer) as port:
        assert said in why_closed(f"{scheme}://user:s3cret@127.0.0.1:{port}/x")


def test_a_server_that_says_nothing_is_not_waited_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert why_closed(f"rtsp://127.0.0.1:{port}/x", timeout_s=0.05).startswith("no answer within 0.05 s")


def test_encryption_that_is_none_is_named() -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert why_closed(f"https://127.0.0.1:{port}/x").startswith("no encrypted connection")


def test_a_name_that_is_none() -> None:
    assert why_closed("rtsp://camera.invalid/x").startswith("no address is known for this host")  # RFC 6761, 6.4


@pytest.mark.parametrize("rest", ["", "/x", "user:s3/cret@host/x", "user:s3cret@host:port/x", "user:s3 cret@host/x"])
def test_an_address_that_is_none(rest: str) -> None:
    with pytest.raises(SourceError, match=r"expected SCHEME://.*%40 for @") as caught:
        open_source(f"rtsp://{rest}")
    assert "cret" not in str(caught.value)


class Capture:
    """What cv2.VideoCapture is to us, of a recording."""

    released = False

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def get(self, name: int) -> float:
        return 100.0 if name == cv2.CAP_PROP_FRAME_COUNT else 25.0

    def release(self) -> None:
        self.released = True


def test_a_recording_is_refused() -> None:
    capture = Capture()
    with pytest.raises(SourceError, match=r"a recorded file of 100 frames.*Download it"):
        open_stream("http", "host/clip.mp4", TickClock(), open_capture=lambda *_: capture)
    assert capture.released


def test_an_opencv_without_ffmpeg_is_not_asked() -> None:
    build = OpenCvBuild("4.8.0", None, ffmpeg=False, gstreamer=True)
    with pytest.raises(UnavailableError, match="no FFmpeg") as caught:
        open_stream("rtsp", "u:s3cret@host/x", TickClock(), build=build, open_capture=lambda *_: pytest.fail("opened"))
    assert "s3cret" not in str(caught.value)


@ffmpeg
class TestSecrets:
    """In processes of their own, where FFmpeg is as loud as users have it."""

    def edgeseg(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "edgeseg.cli.main", *arguments], capture_output=True, text=True)

    @pytest.mark.parametrize("scheme", ["rtsp", "http"])
    def test_of_an_address_where_nobody_is(self, scheme: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        done = self.edgeseg("run", f"{scheme}://user:s3cret@127.0.0.1:{port}/x?token=s3cret", "--headless")
        assert done.returncode == 2
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)
        assert f"{scheme}://***@127.0.0.1:{port}/x?token=***: the host refuses connections" in done.stderr
        assert "user" not in done.stderr
        assert "s3cret" not in done.stderr

    def test_of_a_stream_that_is_wrongly_asked_for(self) -> None:
        with TinyRtsp(login=LOGIN) as server:
            done = self.edgeseg("run", server.url.replace("://", "://driver:s3krit@"), "--headless")
        assert done.returncode == 2
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)
        assert "s3krit" not in done.stderr

    def test_of_a_stream_that_is_segmented_and_lost(self, tmp_path: Path) -> None:
        pytest.importorskip("onnxruntime")
        bundle = str(tiny_bundle(tmp_path / "road.edgeseg").path)
        report = tmp_path / "report.json"
        enough = threading.Event()

        def frame_of(index: int) -> Frame:
            if index == 60:
                enough.set()
            return level_frame(index)

        with TinyRtsp(frame_of, login=LOGIN) as server:

            def replug() -> None:
                assert enough.wait(SOON_S)
                server.cut()
                server.come_back()

            replugging = threading.Thread(target=replug)
            replugging.start()
            address = f"{server.url.replace('://', '://driver:s3cret@')}?key=s3cret"
            options = ("--headless", "--max-frames", "90", "--threads", "1", "--json", str(report))
            done = self.edgeseg("run", address, bundle, *options)
            replugging.join()
        assert done.returncode == 0, done.stderr
        assert json.loads(report.read_text())["source"] == f"{server.url.replace('://', '://***@')}?key=***"
        for text in (done.stdout, done.stderr, report.read_text()):
            assert "s3cret" not in text
            assert "driver" not in text


@ffmpeg
def test_a_run_gives_up_when_it_is_told_to_and_keeps_its_books(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    bundle = str(tiny_bundle(tmp_path / "road.edgeseg").path)
    report, lines = tmp_path / "report.json", tmp_path / "lines.jsonl"
    with TinyRtsp() as server:
        script = [sys.executable, "-m", "edgeseg.cli.main", "run", server.url, bundle, "--headless", "--threads", "1"]
        script += ["--give-up", "1", "--json", str(report), "--json-lines", str(lines)]
        run = subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: lines.exists() and lines.read_text().count("\n") > 5)
        server.cut()
        _, error = run.communicate(timeout=SOON_S)
    assert run.returncode == 2
    assert "Given up after" in error
    assert error.count("\n") == 1
    books = json.loads(report.read_text())
    assert books["captured"] == books["frames"] + books["dropped"] + books["failed"]


class LiveCapture(Capture):
    """A stream that opens, and breaks at once."""

    def get(self, name: int) -> float:
        return -1.0 if name == cv2.CAP_PROP_FRAME_COUNT else 25.0

    def grab(self) -> bool:
        return False


def test_no_secret_in_a_source_s_own_texts() -> None:
    with_ffmpeg = OpenCvBuild("4.8.0", None, ffmpeg=True, gstreamer=False)
    uri = "rtsp://driver:s3cret@host/x"

    def connect() -> Source:
        _, _, rest = uri.partition("://")
        return open_stream("rtsp", rest, TickClock(), build=with_ffmpeg, open_capture=lambda *_: LiveCapture())

    source = Reconnecting(redact(uri), connect, time.perf_counter, rng=np.random.default_rng(0))
    texts = [source.uri, repr(source), repr(source.state)]
    with pytest.raises(SourceError) as caught:
        next_frame(source)
    source.close()
    texts += [str(caught.value), *source.notes, repr(source.state)]
    assert not any(word in text for text in texts for word in ("driver", "s3cret"))

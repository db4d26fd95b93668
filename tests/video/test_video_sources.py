from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scripted_stream import TickClock, grey_frame, write_video

from edgeseg import open_source
from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.errors import ConfigError, DataError, SourceError
from edgeseg.video.sources.files import container_of


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten frames whose brightness is their number times 20."""
    return write_video(tmp_path / "clip.avi", [grey_frame(20 * index, (48, 64)) for index in range(10)])


class TestVideoFile:
    def test_gives_every_frame_in_order(self, clip: Path) -> None:
        with open_source(clip) as source:
            records = list(source)
        assert [record.index for record in records] == list(range(10))
        assert [record.name for record in records] == [f"{index:06d}" for index in range(10)]
        for index, record in enumerate(records):
            assert record.frame_bgr.shape == (48, 64, 3)
            assert record.frame_bgr.dtype == np.uint8
            assert abs(float(record.frame_bgr.mean()) - 20 * index) < 3  # Motion JPEG is lossy
        assert (source.captured, source.dropped, source.ended, source.live) == (10, 0, True, False)
        assert source.fps == 25.0
        assert source.notes == []

    def test_the_time_stamp_is_taken_before_decoding(self, clip: Path) -> None:
        clock = TickClock(step=1.0)
        with open_source(clip, clock) as source:
            assert [record.timestamp_s for record in source] == [float(index) for index in range(1, 11)]

    @pytest.mark.parametrize(
        ("suffix", "codec"), [(".mkv", "mp4v"), (".mp4", "mp4v"), (".avi", "MJPG"), (".ts", "mp4v")]
    )
    def test_containers(self, tmp_path: Path, suffix: str, codec: str) -> None:
        rng = np.random.default_rng(0)
        frames = [rng.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(12)]
        path = write_video(tmp_path / f"clip{suffix}", frames, codec=codec)
        assert container_of(path.read_bytes()[:1024]) == suffix[1:]
        with open_source(path) as source:
            assert len(list(source)) == 12

    def test_a_container_that_promises_more_than_it_has_ends_with_a_note(self, tmp_path: Path, clip: Path) -> None:
        whole = clip.read_bytes()
        torn = tmp_path / "torn.avi"
        torn.write_bytes(whole[: (whole.index(b"movi") + whole.index(b"idx1")) // 2])
        with open_source(torn) as source:
            decoded = len(list(source))
        assert 0 < decoded < 10
        assert source.notes == [f"torn.avi: the container promises 10 frames, {decoded} could be decoded"]

    def test_the_stream_s_own_time(self, clip: Path) -> None:
        with open_source(clip) as source:
            media_s = [record.media_s for record in source]
        np.testing.assert_allclose(np.array(media_s, np.float64), np.arange(10) / 25.0, atol=1e-6)

    def test_reading_on_after_the_end_gives_nothing(self, clip: Path) -> None:
        with open_source(clip) as source:
            assert len(list(source)) == 10
            assert source.read() is None
        assert source.captured == 10

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "empty"),
            (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n", "not a video"),
            (b"ffconcat version 1.0\nfile /etc/passwd\n", "not a video"),
            (b"\0\0\0\x18ftypmp42" + bytes(200), "cannot be opened"),
            (b"\x1aE\xdf\xa3" + bytes(200), "cannot be opened"),
        ],
    )
    def test_what_is_no_video_is_named(self, tmp_path: Path, content: bytes, said: str) -> None:
        path = tmp_path / "clip.mp4"
        path.write_bytes(content)
        with pytest.raises(SourceError, match=said) as caught:
            open_source(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_opencv_and_ffmpeg_are_not_heard(self, tmp_path: Path) -> None:
        """In a process of its own: FFmpeg reads once how loud it may be, and other tests open videos with cv2."""
        for name, start in (("a.mp4", b"\0\0\0\x18ftypmp42"), ("b.mkv", b"\x1aE\xdf\xa3")):
            (tmp_path / name).write_bytes(start + bytes(200))
        script = (
            "import sys\nfrom edgeseg.errors import SourceError\nfrom edgeseg.video.sources import open_source\n"
            "for path in sys.argv[1:]:\n    try:\n        open_source(path)\n"
            "    except SourceError:\n        print('refused')\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "a.mp4", tmp_path / "b.mkv"], capture_output=True, text=True
        )
        assert (done.stdout.split(), done.stderr) == (["refused"] * 2, "")

    def test_a_folder_without_permission_and_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"no such file: .*nowhere\.mp4.*camera number"):
            open_source(tmp_path / "nowhere.mp4")

    def test_a_name_like_a_protocol_is_still_a_file(
        self, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        shutil.copy(clip, "concat:clip.avi")
        with open_source("concat:clip.avi") as source:
            assert len(list(source)) == 10


class TestImages:
    def test_a_folder_in_order_of_name(self, tmp_path: Path) -> None:
        for name, level in (("b", 2), ("a", 1), ("c", 3)):
            cv2.imwrite(str(tmp_path / f"{name}.png"), grey_frame(level))
        (tmp_path / "notes.txt").write_text("no image")
        with open_source(tmp_path) as source:
            records = list(source)
        assert [record.name for record in records] == ["a", "b", "c"]
        assert [int(record.frame_bgr[0, 0, 0]) for record in records] == [1, 2, 3]
        assert source.captured == 3

    def test_one_image(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "one.jpg"), grey_frame(7))
        with open_source(tmp_path / "one.jpg") as source:
            assert [record.name for record in source] == ["one"]

    def test_a_glob_keeps_folders_in_the_names(self, tmp_path: Path) -> None:
        for folder in ("x", "y"):
            (tmp_path / folder).mkdir()
            cv2.imwrite(str(tmp_path / folder / "0.png"), grey_frame(1))
        with open_source(f"{tmp_path}/**/*.png") as source:
            assert [record.name for record in source] == ["x/0", "y/0"]

    def test_names_differ_also_where_only_suffixes_do(self, tmp_path: Path) -> None:
        for name in ("a.png", "a.jpg", "b.png"):
            cv2.imwrite(str(tmp_path / name), grey_frame(1))
        with open_source(tmp_path) as source:
            assert [record.name for record in source] == ["a.jpg", "a.png", "b"]

    @pytest.mark.parametrize("kind", ["grey", "alpha", "16 bit"])
    def test_every_kind_becomes_bgr_of_8_bits(self, tmp_path: Path, kind: str) -> None:
        pixels: Any = {
            "grey": np.full((24, 32), 100, np.uint8),
            "alpha": np.dstack([grey_frame(100), np.full((24, 32), 9, np.uint8)]),
            "16 bit": np.full((24, 32, 3), 100 * 257, np.uint16),
        }[kind]
        cv2.imwrite(str(tmp_path / "image.png"), pixels)
        with open_source(tmp_path / "image.png") as source:
            record = next(iter(source))
        assert record.frame_bgr.dtype == np.uint8
        np.testing.assert_array_equal(record.frame_bgr, grey_frame(100))

    def test_a_broken_image_is_counted_and_the_next_one_follows(self, tmp_path: Path) -> None:
        for name in ("a.png", "b.png", "c.png"):
            cv2.imwrite(str(tmp_path / name), grey_frame(1))
        (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:40])
        with open_source(tmp_path) as source:
            assert source.read() is not None
            with pytest.raises(DataError, match=r"b\.png"):
                source.read()
            last = source.read()
        assert last is not None
        assert (last.index, last.name) == (2, "c")
        assert source.captured == 3

    def test_nothing_found(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"the folder holds no image .*\*\*/\*\.png"):
            open_source(tmp_path)
        with pytest.raises(SourceError, match="the pattern matches no image"):
            open_source(f"{tmp_path}/*.png")


class TestSynthetic:
    def test_frames_of_the_drive(self) -> None:
        with open_source("synthetic://drive?seed=3&scene=rain&frames=2&size=96x128&fps=10") as source:
            records = list(source)
        drive = SyntheticDrive(3, "rain", (96, 128), 10.0)
        assert len(records) == 2
        np.testing.assert_array_equal(records[1].frame_bgr, drive.frame(1)[0])
        assert source.fps == 10.0

    def test_without_a_number_of_frames_it_does_not_end(self) -> None:
        with open_source("synthetic://drive?size=64x64") as source:
            for _ in range(3):
                source.read()
        assert not source.ended

    @pytest.mark.parametrize(
        ("uri", "said"),
        [
            ("synthetic://drive?colour=red", "unknown setting 'colour'; known are: seed, scene, frames, size, fps"),
            ("synthetic://drive?size=360", "HEIGHTxWIDTH"),
            ("synthetic://drive?frames=0", "1 or more"),
            ("synthetic://drive?seed=", "seed=''"),
            ("synthetic://flight", "only synthetic://drive"),
        ],
    )
    def test_settings_that_make_no_sense(self, uri: str, said: str) -> None:
        with pytest.raises(SourceError, match=said):
            open_source(uri)

    def test_scenes_are_the_drive_s_own(self) -> None:
        with pytest.raises(ConfigError, match="scene='snow'"):
            open_source("synthetic://drive?scene=snow")


def test_an_unknown_kind_of_source_is_named_without_its_password() -> None:
    with pytest.raises(
        SourceError, match="known are: camera, csi, gst, http, https, images, rtsp, rtsps, synthetic, video"
    ) as caught:
        open_source("gopher://user:secret@host/stream")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["rtsp:/user:secret@host/x", "HTTP:user:secret@host", "user:secret@host/clip.mp4"])
def test_a_mistyped_address_is_refused_without_its_password(uri: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(uri)
    assert "secret" not in str(caught.value)


def test_a_kind_may_be_named(clip: Path) -> None:
    with open_source(f"video://{clip}") as source:
        assert len(list(source)) == 10
    with pytest.raises(SourceError, match="expected a number"):
        open_source("camera://front")

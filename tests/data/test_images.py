"""Image files: pixels exact, and nothing torn, altered or forged gets as far as a decoder."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_datasets import random_frame, save_frame, save_grey

from edgeseg.data.images import MAX_PIXELS, read_image, read_mask
from edgeseg.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE = 0, 2, 3


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width: int, height: int, depth: int, colour_type: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))


def pack_samples(values: np.ndarray[tuple[int, int], np.dtype[np.uint8]], depth: int) -> bytes:
    """PNG image data: each row filter 0, then samples of `depth` bits packed from the left."""
    bits = np.unpackbits(values[..., np.newaxis], axis=-1)[..., 8 - depth :]
    return zlib.compress(b"".join(b"\0" + np.packbits(row).tobytes() for row in bits.reshape(len(values), -1)))


def jpeg_bytes(**options: object) -> bytes:
    stream = BytesIO()
    smooth = cv2.GaussianBlur(random_frame(1, (16, 24)), (0, 0), 3)
    Image.fromarray(smooth).save(stream, "JPEG", **options)
    return stream.getvalue()


def png_bytes() -> bytes:
    stream = BytesIO()
    Image.fromarray(random_frame(1, (4, 5))).save(stream, "PNG")
    return stream.getvalue()


class TestPixels:
    def test_png_is_exact_and_bgr(self, tmp_path: Path) -> None:
        frame = random_frame(3)
        save_frame(tmp_path / "a.png", frame)
        assert np.array_equal(read_image(tmp_path / "a.png"), frame)

    def test_jpeg_is_decoded_as_pillow_does(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        path.write_bytes(jpeg_bytes(quality=95, subsampling=0))
        theirs = np.asarray(Image.open(path).convert("RGB"), np.int16)[..., ::-1]
        assert np.abs(read_image(path) - theirs).max() <= 2

    @pytest.mark.parametrize("options", [{"progressive": True}, {"optimize": True}, {"comment": b"\xff\xd9"}])
    def test_jpeg_variants_are_whole(self, tmp_path: Path, options: dict[str, object]) -> None:
        path = tmp_path / "a.jpg"
        path.write_bytes(jpeg_bytes(**options))
        assert read_image(path).shape == (16, 24, 3)

    def test_bytes_after_the_end_of_a_jpeg_do_no_harm(self, tmp_path: Path) -> None:
        """Phones append trailers of their own."""
        path = tmp_path / "a.jpg"
        path.write_bytes(jpeg_bytes() + b"trailer")
        assert read_image(path).shape == (16, 24, 3)

    def test_grey_images_become_bgr(self, tmp_path: Path) -> None:
        grey = random_frame(1)[..., 0]
        save_grey(tmp_path / "a.png", grey)
        assert np.array_equal(read_image(tmp_path / "a.png"), np.repeat(grey[..., np.newaxis], 3, axis=2))

    def test_alpha_is_dropped(self, tmp_path: Path) -> None:
        rgba = np.random.default_rng(1).integers(0, 256, (4, 5, 4), dtype=np.uint8)
        Image.fromarray(rgba).save(tmp_path / "a.png")
        assert np.array_equal(read_image(tmp_path / "a.png"), rgba[..., 2::-1])

    def test_exif_orientation_is_not_applied(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90° to show
        path = tmp_path / "a.jpg"
        path.write_bytes(jpeg_bytes(exif=exif))
        assert read_image(path).shape == (16, 24, 3)


class TestMaskValues:
    @pytest.mark.parametrize("depth", [1, 2, 4, 8])
    @pytest.mark.parametrize("width", [1, 7, 16])
    @pytest.mark.parametrize("colour_type", [GREY, PALETTE])
    def test_values_and_indices_are_exact_at_every_depth(
        self, tmp_path: Path, depth: int, width: int, colour_type: int
    ) -> None:
        rng = np.random.default_rng(depth * 100 + width)
        values = rng.integers(0, 1 << depth, (5, width), dtype=np.uint8)
        palette = chunk(b"PLTE", rng.bytes(3 << depth)) + chunk(b"tRNS", b"\0") if colour_type == PALETTE else b""
        path = tmp_path / "mask.png"
        path.write_bytes(
            SIGNATURE
            + header(width, 5, depth, colour_type)
            + palette
            + chunk(b"IDAT", pack_samples(values, depth))
            + chunk(b"IEND", b"")
        )
        mask = read_mask(path)
        assert mask.single_channel
        assert np.array_equal(mask.values(), values)

    def test_sixteen_bits_stay_sixteen_bits(self, tmp_path: Path) -> None:
        values = np.random.default_rng(1).integers(0, 65536, (4, 5), dtype=np.uint16)
        save_grey(tmp_path / "mask.png", values)
        read = read_mask(tmp_path / "mask.png").values()
        assert read.dtype == np.uint16
        assert np.array_equal(read, values)

    def test_colour_files_have_no_single_channel(self, tmp_path: Path) -> None:
        save_frame(tmp_path / "mask.png", random_frame(1))
        assert not read_mask(tmp_path / "mask.png").single_channel

    def test_a_jpeg_is_no_mask(self, tmp_path: Path) -> None:
        (tmp_path / "mask.png").write_bytes(jpeg_bytes())
        with pytest.raises(DataError, match=r"mask\.png: not a PNG file.*lossy"):
            read_mask(tmp_path / "mask.png")


class TestBadFiles:
    def test_every_truncation_of_a_png_is_noticed(self, tmp_path: Path) -> None:
        path, whole = tmp_path / "a.png", png_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(DataError, match=r"a\.png: "):
                read_image(path)

    def test_every_flipped_byte_of_a_png_is_noticed(self, tmp_path: Path) -> None:
        path, whole = tmp_path / "a.png", png_bytes()
        for position in range(len(whole)):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
            with pytest.raises(DataError, match=r"a\.png: "):
                read_image(path)

    @pytest.mark.parametrize("progressive", [False, True])
    def test_truncations_of_a_jpeg_are_noticed(self, tmp_path: Path, progressive: bool) -> None:
        path, whole = tmp_path / "a.jpg", jpeg_bytes(progressive=progressive)
        for length in (*range(0, len(whole) - 20, 11), *range(len(whole) - 20, len(whole))):
            path.write_bytes(whole[:length])
            with pytest.raises(DataError, match=r"a\.jpg: "):
                read_image(path)

    def test_a_thumbnail_in_the_header_does_not_pass_for_the_end(self, tmp_path: Path) -> None:
        """The thumbnail is a whole JPEG with an end marker of its own."""
        path, whole = tmp_path / "a.jpg", jpeg_bytes()
        thumbnail = jpeg_bytes(quality=20)
        segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
        path.write_bytes(whole[:2] + segment + whole[2:])
        assert read_image(path).shape == (16, 24, 3)
        path.write_bytes(whole[:2] + segment + whole[2:-20])
        with pytest.raises(DataError, match="truncated JPEG"):
            read_image(path)

    def test_a_forged_chunk_length_never_reaches_the_decoder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the decoder was given a forged file"))
        body = struct.pack(">I", 0xF000_0000) + b"IDAT" + bytes(6000)
        (tmp_path / "a.png").write_bytes(SIGNATURE + header(100, 100, 8, RGB) + body)
        with pytest.raises(DataError, match=r"claims 4026531840 bytes where 5996 are left.*truncated or forged"):
            read_image(tmp_path / "a.png")

    def test_forged_sizes_never_reach_the_decoder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the decoder was given a forged file"))
        png, jpeg = tmp_path / "a.png", tmp_path / "a.jpg"
        png.write_bytes(SIGNATURE + header(1 << 16, 1 << 16, 8, GREY) + chunk(b"IEND", b""))
        whole = bytearray(jpeg_bytes())
        frame = whole.index(b"\xff\xc0")
        whole[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
        jpeg.write_bytes(whole)
        for path in (png, jpeg):
            with pytest.raises(DataError, match=rf"claims 6553\d×6553\d pixels; at most {MAX_PIXELS}"):
                read_image(path)

    def test_a_png_that_stops_short_of_its_size(self, tmp_path: Path) -> None:
        """All checksums right, but fewer rows than promised."""
        data = pack_samples(np.zeros((3, 8), np.uint8), 8)
        (tmp_path / "a.png").write_bytes(SIGNATURE + header(8, 9, 8, GREY) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
        with pytest.raises(DataError, match=r"a\.png: cannot be decoded"):
            read_image(tmp_path / "a.png")

    def test_a_png_without_header(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(SIGNATURE + chunk(b"IEND", b""))
        with pytest.raises(DataError, match="without a header"):
            read_image(tmp_path / "a.png")

    def test_another_type_under_a_known_suffix(self, tmp_path: Path) -> None:
        Image.fromarray(random_frame(1)).save(tmp_path / "a.bmp")
        (tmp_path / "a.bmp").rename(tmp_path / "a.png")
        with pytest.raises(DataError, match="neither a JPEG nor a PNG"):
            read_image(tmp_path / "a.png")

    def test_missing_file_and_folder(self, tmp_path: Path) -> None:
        for path in (tmp_path / "nothing.png", tmp_path):
            with pytest.raises(DataError, match="cannot be read"):
                read_image(path)

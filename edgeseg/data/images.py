"""JPEG and PNG files → arrays, checked before a decoder sees them.

OpenCV's decoders trust a file: a truncated JPEG comes back as a picture with a grey rest, and a PNG of 6 kB that lies
about a chunk's length costs gigabytes. So the file's structure is walked first. Other file types are not read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import DataError
from edgeseg.types import Frame, Labels

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MASK_SUFFIX = ".png"
MAX_PIXELS = 1 << 27
"""134 megapixels, 400 MB as BGR: more than any camera gives; what claims more is taken for forged."""

JPEG_SIGNATURE = b"\xff\xd8\xff"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
"""PNG colour types (PNG specification, 11.2.2): one number per pixel, either a grey value or a palette index."""


def read_image(path: Path) -> Frame:
    """JPEG or PNG file → BGR uint8 (H, W, 3), pixels as stored: an EXIF orientation is not applied, as no mask has one.

    Raises `DataError` for a file that is missing, truncated, altered, oversized or of another type.
    """
    return decode_image(path, _read_bytes(path))


def read_upright_image(path: Path) -> Frame:
    """As `read_image`, but a JPEG is turned as its EXIF orientation says: what labelme and EISeg draw on."""
    return decode_image(path, _read_bytes(path), upright=True)


def decode_image(path: Path, data: bytes, *, upright: bool = False) -> Frame:
    """As `read_image`, from the bytes of a JPEG or PNG that lies within `path`; `upright` as `read_upright_image`."""
    if data.startswith(_PNG_SIGNATURE):
        return _parse_png(path, data).pixels_bgr()
    if not data.startswith(JPEG_SIGNATURE):
        raise DataError(f"{path}: neither a JPEG nor a PNG file, whatever its suffix. Convert it to one of them.")
    _check_jpeg(path, data)
    return _decode(path, data, cv2.IMREAD_COLOR, upright=upright)


def read_mask(path: Path) -> PngFile:
    """PNG file of a mask, its structure checked, its pixels not yet decoded.

    Raises `DataError` also for a JPEG: its compression invents classes along every border.
    """
    return decode_mask(path, _read_bytes(path))


def decode_mask(path: Path, data: bytes) -> PngFile:
    """As `read_mask`, from the bytes of a PNG that lies within `path`."""
    if not data.startswith(_PNG_SIGNATURE):
        raise DataError(f"{path}: not a PNG file. A mask must be one: lossy formats invent classes along borders.")
    return _parse_png(path, data)


@dataclass(frozen=True, slots=True)
class PngFile:
    """A PNG whose chunks and header hold: sizes in pixels, `depth` in bits per sample, critical chunks only."""

    path: Path
    width: int
    height: int
    depth: int
    colour_type: int
    chunks: tuple[tuple[bytes, bytes], ...]

    @property
    def single_channel(self) -> bool:
        """Whether a pixel is one number: grey, or an index into a palette."""
        return self.colour_type in (_GREY, _PALETTE)

    def values(self) -> NDArray[Any]:
        """Grey values or palette indices as stored: uint8 (H, W), uint16 for 16-bit files.

        OpenCV replaces palette indices by their colours. The same samples under a grey header come through as they
        are: both types allow the same depths and pack them alike. Depths below 8 bits are stretched to 0..255 by the
        decoder, which the division takes back exactly.
        """
        header = struct.pack(">IIBB", self.width, self.height, self.depth, _GREY) + self.chunks[0][1][10:]
        grey = [(b"IHDR", header), *[chunk for chunk in self.chunks[1:] if chunk[0] != b"PLTE"]]
        values = _decode(self.path, _assemble(grey), cv2.IMREAD_UNCHANGED)
        return values if self.depth >= 8 else values // (255 // ((1 << self.depth) - 1))

    def pixels_bgr(self) -> Frame:
        """BGR uint8 (H, W, 3); a palette is applied, alpha is dropped, 16-bit samples become 8-bit."""
        return _decode(self.path, _assemble(self.chunks), cv2.IMREAD_COLOR)


def palette_png(indices: Labels, palette_rgb: Sequence[tuple[int, int, int]]) -> bytes:
    """A palette PNG of uint8 (H, W) indices, whose colours the viewer takes from `palette_rgb`, at most 256.

    OpenCV writes no palettes. A grey PNG packs the same samples alike, so its header is changed and a palette put in.
    """
    grey = _parse_png(Path("grey.png"), cv2.imencode(".png", indices)[1].tobytes())
    (_, header), *rest = grey.chunks
    table = bytes(value for colour in palette_rgb for value in colour)
    return _assemble([(b"IHDR", header[:9] + bytes([_PALETTE]) + header[10:]), (b"PLTE", table), *rest])


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path and its permissions.") from error


def _decode(path: Path, data: bytes, mode: int, *, upright: bool = False) -> NDArray[Any]:
    try:
        turn = 0 if upright else cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), mode | turn)
    except cv2.error as error:
        raise DataError(f"{path}: cannot be decoded ({error.err}). Copy or convert the file again.") from error
    if pixels is None:
        raise DataError(f"{path}: cannot be decoded. Copy or convert the file again.")
    return pixels


def _check_size(path: Path, width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise DataError(
            f"{path}: claims {width}×{height} pixels; at most {MAX_PIXELS} are read. If it is real, reduce it."
        )


def _parse_png(path: Path, data: bytes) -> PngFile:
    """Walk all chunks: length within the file, checksum right, header first, end present."""
    chunks: list[tuple[bytes, bytes]] = []
    offset, kind = len(_PNG_SIGNATURE), b""
    while kind != b"IEND":
        if offset + 12 > len(data):
            raise DataError(f"{path}: truncated PNG, it stops after {len(data)} bytes. Copy the file again.")
        length = int.from_bytes(data[offset : offset + 4], "big")
        kind, end = data[offset + 4 : offset + 8], offset + 12 + length
        if end > len(data):
            raise DataError(
                f"{path}: PNG chunk {kind!r} claims {length} bytes where {len(data) - offset - 12} are left: "
                "truncated or forged. Copy the file again."
            )
        if zlib.crc32(data[offset + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise DataError(f"{path}: PNG chunk {kind!r} does not match its checksum. Copy the file again.")
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            chunks.append((kind, data[offset + 8 : end - 4]))
        offset = end
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise DataError(f"{path}: PNG without a header. Write the file again with another tool.")
    width, height, depth, colour_type = struct.unpack(">IIBB", chunks[0][1][:10])
    _check_size(path, width, height)
    return PngFile(path, width, height, depth, colour_type, tuple(chunks))


def _assemble(chunks: tuple[tuple[bytes, bytes], ...] | list[tuple[bytes, bytes]]) -> bytes:
    parts = [_PNG_SIGNATURE]
    for kind, body in chunks:
        parts += [struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(kind + body))]
    return b"".join(parts)


def _check_jpeg(path: Path, data: bytes) -> None:
    """Walk the segments up to the first scan (ITU T.81, B.1.1), check the size, and find the end after the scan.

    Searching for the end marker anywhere would accept a truncated file that carries a whole thumbnail in its header.
    """
    offset, size = 2, (0, 0)
    while (segment := data[offset : offset + 4])[:1] == b"\xff" and len(segment) == 4:
        marker, length = segment[1], int.from_bytes(segment[2:], "big")
        if marker == 0xFF:  # a fill byte before the marker itself
            offset += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            size = struct.unpack(">HH", data[offset + 5 : offset + 9].ljust(4, b"\0"))
        if marker == 0xDA:  # start of scan: from here on 0xFF is escaped, so the end marker is unmistakable
            height, width = size
            _check_size(path, width, height)
            if data.find(b"\xff\xd9", offset) >= 0:
                return
            break
        offset += 2 + length
    raise DataError(f"{path}: truncated JPEG, no end after {len(data)} bytes. Copy the file again.")

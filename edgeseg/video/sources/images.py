"""Image files as a stream: one file, a folder in order of name, or a glob."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edgeseg.data.images import IMAGE_SUFFIXES, read_image
from edgeseg.errors import SourceError
from edgeseg.video.sources.base import Clock, FrameRecord, Source


class ImageFiles(Source):
    """Reads image files one after the other; one that cannot be read is a `DataError`, and the next follows."""

    def __init__(self, uri: str, paths: Sequence[Path], clock: Clock) -> None:
        super().__init__(uri, clock)
        self.files = tuple(paths)
        self._names = _names(paths)

    def _take(self) -> FrameRecord | None:
        if self.captured == len(self.files):
            return None
        started = self.clock()
        frame_bgr = read_image(self.files[self.captured])
        return FrameRecord(self.captured, frame_bgr, started, self._names[self.captured])

    def again(self) -> ImageFiles:
        """The same images from the first one."""
        return ImageFiles(self.uri, self.files, self.clock)


def open_images(pattern: str, clock: Clock) -> ImageFiles:
    """Open an image file, all images of a folder, or those that a glob matches (`**` for any depth)."""
    path = Path(pattern)
    if path.is_file():
        return ImageFiles(pattern, [path], clock)
    # Path.glob takes no absolute pattern.
    found = path.iterdir() if path.is_dir() else map(Path, glob.iglob(pattern, recursive=True))  # noqa: PTH207
    paths = sorted(entry for entry in found if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file())
    if not paths:
        what = "the folder holds" if path.is_dir() else "the pattern matches"
        hint = f" For images in its subfolders: '{path}/**/*.png'." if path.is_dir() else ""
        raise SourceError(f"{pattern}: {what} no image ({' '.join(IMAGE_SUFFIXES)}).{hint}")
    return ImageFiles(pattern, paths, clock)


def _names(paths: Sequence[Path]) -> list[str]:
    """Paths below their common folder, without suffix; with it where two files would get the same name."""
    root = os.path.commonpath([path.parent for path in paths])
    relative = [path.relative_to(root) for path in paths]
    bare = [path.with_suffix("").as_posix() for path in relative]
    times = Counter(bare)
    return [path.as_posix() if times[name] > 1 else name for path, name in zip(relative, bare, strict=True)]

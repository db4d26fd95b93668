"""Files that are whole or absent: write beside the target, fsync, rename."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgeseg.errors import OutputError

_CHUNK_BYTES = 1 << 20


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path` to write to; on success it is fsynced and renamed over `path`, else removed.

    The temporary name keeps the suffix, for writers that choose a format by it. A kill leaves the old file untouched.
    Raises `OutputError` where the file system refuses: no permission, no space, a folder in the way.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=f".partial{target.suffix}", dir=target.parent)
    except OSError as error:
        raise _refused(target, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(target)
        fsync_folder(target.parent)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; on success it is renamed to `path`, else removed with all in it.

    Raises `OutputError` at once where `path` is there already with something in it, and where the file system refuses.
    """
    target = Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(f"{target}: is there already. Choose a new folder, or remove it.")
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        yield temporary
        for folder, _, names in os.walk(temporary):
            for name in names:
                with Path(folder, name).open("rb") as written:
                    os.fsync(written.fileno())
        temporary.chmod(0o755)
        temporary.replace(target)
        fsync_folder(target.parent)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_group(files: Mapping[Path, bytes]) -> None:
    """Write several files, each whole or absent, in half the time: the folders are waited for once, not for each file.

    A kill may leave temporary files behind. Raises `OutputError` as `atomic_path` does.
    """
    waiting: list[tuple[Path, Path]] = []
    target = Path()
    try:
        for target, data in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.stem}.{os.getpid()}.partial{target.suffix}")
            waiting.append((temporary, target))
            temporary.write_bytes(data)
        for temporary, target in waiting:
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
        for folder in {target.parent for target in files}:
            fsync_folder(folder)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        for temporary, _ in waiting:
            temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON to `path` atomically; NaN is refused, because JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def sha256_file(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _refused(target: Path, error: OSError) -> OutputError:
    return OutputError(f"{target}: cannot be written ({error.strerror or error}). Choose another place, or make room.")


def fsync_folder(folder: Path) -> None:
    """Make a rename durable. Windows has no descriptor for a folder, and needs none."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

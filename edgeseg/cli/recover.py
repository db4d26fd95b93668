"""`edgeseg recover`: finish the recordings that killed runs left."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.epilog = (
        "While drive.mkv is recorded it is called drive.unfinished.mkv, and plays. This adds what is not in it yet, "
        "writes its index and gives it its name, or drive-recovered.mkv where that is taken. No footage is deleted."
    )
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="FILE_OR_FOLDER",
        help="the video that was to be written, or a folder for all that were left in it",
    )


def run(args: argparse.Namespace) -> int:
    """Finish what is found and print it; where one cannot be, the others follow. Returns 0, or 2 if one could not."""
    from edgeseg.video.recording.recovery import find_unfinished

    found = dict.fromkeys(unfinished for path in args.paths for unfinished in find_unfinished(path))
    if not found:
        print("nothing was left unfinished")
    return max(map(_finish, found), default=0)


def _finish(unfinished: Path) -> int:
    """Finish one and say so. Returns 0, or the error's exit code."""
    from edgeseg.errors import EdgesegError
    from edgeseg.video.recording.recovery import recover

    try:
        recovered = recover(unfinished)
    except EdgesegError as error:
        print(f"edgeseg: error: {error}", file=sys.stderr)
        return error.exit_code
    print(recovered or f"{unfinished}: no frame had reached the disk; removed")
    return 0

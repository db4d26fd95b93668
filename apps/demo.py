"""The main job in four commands, on what the package brings along: export, parity, a segmented drive, a contact sheet.

    python apps/demo.py [--output demo] [--frames 300] [--scene mixed]

Each command is printed before it runs, so that it can be typed again with other values.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from edgeseg.cli.main import main as edgeseg

_SIZE = "360x480"
"""Height x width of the drawn frames: the default model's own, so that nothing is resized."""


def steps(output: Path, frames: int, scene: str) -> list[list[str]]:
    """The commands, in order, as words after `edgeseg`."""
    bundle = str(output / "edgeseg-default.edgeseg")
    drive = f"synthetic://drive?seed=7&scene={scene}&size={_SIZE}"
    labelled = f"seed=21&scene={scene}&frames=24&size={_SIZE}&step=90"
    return [
        ["export", "--fp16", "--output", bundle, "--json", str(output / "export.json")],
        ["verify", bundle],
        [
            *["run", drive, bundle, "--headless", "--max-frames", str(frames)],
            *["--output", str(output / "demo.mkv"), "--json", str(output / "run.json")],
        ],
        [
            *["evaluate", bundle, "--format", "synthetic", "--data", labelled, "--split", "test"],
            *["--contact-sheet", str(output / "contact_sheet.png"), "--json", str(output / "evaluate.json")],
        ],
    ]


def main() -> int:
    """Run every step; stop at the first that fails, with its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=Path("demo"), metavar="DIR")
    parser.add_argument("--frames", type=int, default=300, metavar="N", help="frames of the drive to segment")
    parser.add_argument("--scene", default="mixed", help="day, dusk, night, rain, fog or mixed")
    args = parser.parse_args()
    for words in steps(args.output, args.frames, args.scene):
        print(f"\n$ edgeseg {shlex.join(words)}\n", flush=True)
        code = edgeseg(words)
        if code:
            return code
    print(f"\nLook at {args.output / 'demo.mkv'} and {args.output / 'contact_sheet.png'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One fresh process: how long until its first frame is segmented, and how much memory that takes.

    python -m edgeseg.bench.child BUNDLE --precision fp32 --backend onnxruntime --frame-hw 360x480 [--threads N]

Prints one line of JSON: the moments at which each step was done, on the clock that all processes of a machine share
(`time.monotonic`), and the resident memory then.
"""

import time

_BEGAN_S = time.monotonic()  # before anything is imported: what came before is the interpreter's own start

import argparse  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

_MORE_FRAMES = 10
"""Memory still grows in the first frames: arenas are filled."""


def main(argv: Sequence[str] | None = None) -> int:
    """Start, segment, tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--frame-hw", required=True)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args(argv)
    moments_s, resident_mib = {"python": _BEGAN_S}, {}

    def done(step: str) -> None:
        moments_s[step] = time.monotonic()
        resident_mib[step] = resident_memory_mib()

    import numpy as np

    from edgeseg.bundle import Bundle
    from edgeseg.runtime.segmenter import Segmenter

    done("import")
    bundle = Bundle.open(args.bundle)
    with Segmenter(bundle, precision=args.precision, backend=args.backend, threads=args.threads) as segmenter:
        done("open")
        height, width = map(int, args.frame_hw.split("x"))
        frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        before_s = time.monotonic()
        segmenter(frame)
        done("first_frame")
        moments_s["frame_drawn"] = before_s
        for _ in range(_MORE_FRAMES):
            segmenter(frame)
    print(json.dumps({"moments_s": moments_s, "resident_mib": resident_mib, "peak_mib": peak_memory_mib()}))
    return 0


def resident_memory_mib() -> float | None:
    """Memory of this process that lies in RAM now; `None` where there is no /proc."""
    return _status_mib("VmRSS")


def peak_memory_mib() -> float | None:
    """The most that it ever was.

    Not from getrusage: on Linux its figures are preserved across execve (getrusage(2)), so ru_maxrss begins with that
    of the process that started this one, which holds all candidates.
    """
    return _status_mib("VmHWM")


def _status_mib(key: str) -> float | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    kib = next((line.split()[1] for line in lines if line.startswith(f"{key}:")), None)
    return None if kib is None else int(kib) / 1024


if __name__ == "__main__":
    sys.exit(main())

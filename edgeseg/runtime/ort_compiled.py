"""What ONNX Runtime's optimiser made of a graph, kept for the next start.

It fuses, folds and lays out a graph anew whenever a session opens. The result is an ONNX file again, for this version
on this processor alone: the layout follows the width of its vector unit. It is run as it is written; it is optimised
already. It pays where that takes longer than hashing graph and result: see `edgeseg.runtime.ort.WORTH_KEEPING`.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgeseg.errors import OutputError
from edgeseg.runtime.compiled import CompiledGraph

WORTH_KEEPING_BYTES = 1 << 20
"""Smaller graphs open in a few milliseconds anyway."""

_CPUINFO = Path("/proc/cpuinfo")

Open = Callable[[bytes, Any], Any]
"""Serialised graph and `SessionOptions` → `InferenceSession`."""


def open_compiled(ort: Any, graph: bytes, options: Callable[[], Any], open_session: Open) -> Any:
    """A session on `graph` from what was kept of it; kept now, if nothing was.

    `options` makes new `SessionOptions` whenever it is called. A cache folder that cannot be written costs time at the
    next start, nothing else; so does a kept file that this build of ONNX Runtime refuses.
    """
    if len(graph) < WORTH_KEEPING_BYTES:
        return open_session(graph, options())
    kept = CompiledGraph.of("onnxruntime", graph, [ort.__version__, *processor()])
    data = kept.read()
    if data is not None:
        as_written = options()
        as_written.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        with suppress(Exception):  # its exceptions have no common base but this; the graph itself is opened instead
            return open_session(data, as_written)
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        written = Path(folder) / "optimised.onnx"
        writing = options()
        writing.optimized_model_filepath = str(written)
        session = open_session(graph, writing)
        with suppress(OutputError, OSError):
            kept.write(written.read_bytes())
    return session


def processor() -> list[str]:
    """What the optimiser's choices depend on: architecture, model and instruction sets."""
    found = [platform.machine(), platform.processor()]
    with suppress(OSError):
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
        told = ("model name", "flags", "Features", "CPU part")
        # The first core's; those of a big.LITTLE pair have the same instruction sets.
        found += [next((line for line in lines if line.startswith(name)), "") for name in told]
    return found

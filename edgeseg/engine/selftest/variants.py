"""Forms of one function whose speed only the device can tell: each is measured, and the fastest right one is named.

The function is the end of the default network: 11 classes from a quarter of 360×480 to all of it, ArgMax, labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from edgeseg.engine.selftest.checks import SUITE_AGREEMENT, by_precision, transposed_forms
from edgeseg.engine.selftest.graphs import ARGMAX_FORMS, Upsampling, upsampling_graph
from edgeseg.engine.selftest.kits import CpuKit, Kit
from edgeseg.engine.selftest.report import Item
from edgeseg.engine.selftest.timing import measure_in_turn
from edgeseg.runtime.ort import OrtSession
from edgeseg.runtime.segmenter import Clock

END = Upsampling(8, 4, 2, classes=11, frame_hw=(360, 480))

_SECTION = "variants: "
_SEED = 3


FAMILIES = ("upsampling", "ArgMax")
"""Ways of upsampling, and forms of ArgMax behind a transposed convolution."""


def variant_items(kit: Kit, family: str, case: Upsampling = END, *, seconds: float, clock: Clock) -> Iterator[Item]:
    """Each variant's labels beside the first one's on the CPU, and its latency; they take turns.

    On the CPU in FP32; on a GPU in FP16, which is what it is there for.
    """
    models = _models(family, case)
    precision = "fp32" if kit.backend == OrtSession.backend else "fp16"
    frame = np.random.default_rng(_SEED).integers(0, 256, (1, *case.frame_hw, 3), dtype=np.uint8)
    first = next(iter(models.values()))
    with CpuKit().open_graph(first.SerializeToString(), "fp32", case.frame_hw) as session:
        expected = session.run(frame)
    with ExitStack() as stack:
        runs: dict[str, Callable[[], object]] = {}
        agreement: dict[str, float] = {}
        for name, model in models.items():
            graph = by_precision(model)[precision].SerializeToString()
            session = stack.enter_context(kit.open_graph(graph, precision, case.frame_hw))
            agreement[name] = float(np.mean(session.run(frame) == expected))
            runs[name] = partial(session.run, frame)
        latencies = measure_in_turn(runs, clock, seconds)
    for name in models:
        right = agreement[name] >= SUITE_AGREEMENT[precision]
        figures = {"precision": precision, "agreement": agreement[name], **latencies[name].to_dict()}
        yield Item(_SECTION + family, name, right, figures)


def _models(family: str, case: Upsampling) -> dict[str, Any]:
    if family == "upsampling":
        return transposed_forms(case)
    return {form: upsampling_graph(case, argmax=form) for form in ARGMAX_FORMS}


def best(items: Iterable[Item]) -> dict[str, str]:
    """Family → the variant with the lowest median among those that are right."""
    fastest: dict[str, Item] = {}
    for item in items:
        family = item.section.removeprefix(_SECTION)
        if family == item.section or not item.passed:
            continue
        if family not in fastest or _median(item) < _median(fastest[family]):
            fastest[family] = item
    return {family: item.name for family, item in fastest.items()}


def _median(item: Item) -> float:
    return float(item.figures["p50_ms"] or 0.0)

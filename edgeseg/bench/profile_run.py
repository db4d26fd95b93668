"""Where a bundle's time goes: kernel by kernel, beside what this machine reaches at best."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeseg.bench.profile_cost import in_int8, macs, moved_bytes
from edgeseg.bench.profile_peak import Peak, measure_peak
from edgeseg.bench.profile_trace import Kernel, Tensor, Trace, trace
from edgeseg.bundle import Bundle
from edgeseg.errors import ConfigError
from edgeseg.runtime.ort import UNOPTIMISED
from edgeseg.runtime.session import check_threads
from edgeseg.types import graph_precision


@dataclass(frozen=True, slots=True)
class Layer:
    """A kernel of the graph as ONNX Runtime has optimised it."""

    name: str
    operator: str
    shape: tuple[int, ...]
    """Of its first output."""
    int8: bool
    median_ms: float
    fastest_ms: float
    share: float
    """Of all kernels' time, 0..1."""
    macs: int
    """Multiply-accumulates; 0 where it only moves or compares."""
    bytes: int
    """Read and written, at least."""
    of_gemm: float
    """Multiplications a second in its fastest run beside those of a product of matrices in the same arithmetic."""
    of_copy: float
    """Bytes a second likewise beside a copy's. Above 1 where the tensors are still in a cache."""

    @property
    def of_limit(self) -> float:
        """The larger of both, at most 1: a layer is as fast as multiplications and bytes allow, the roofline model of
        Williams, Waterman and Patterson (Communications of the ACM 52(4), 2009)."""
        return min(max(self.of_gemm, self.of_copy), 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "operator": self.operator,
            "shape": list(self.shape),
            "arithmetic": None if not self.macs else "int8" if self.int8 else "fp32",
            "median_ms": round(self.median_ms, 4),
            "fastest_ms": round(self.fastest_ms, 4),
            "share": round(self.share, 5),
            **_against_the_machine(self),
        }


@dataclass(frozen=True, slots=True)
class Group:
    """All layers of an operator, apart by arithmetic."""

    title: str
    count: int
    median_ms: float
    share: float
    macs: int
    bytes: int
    of_gemm: float
    of_copy: float
    of_limit: float
    """Like a layer's, each weighted by its fastest time."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "title": self.title,
            "count": self.count,
            "median_ms": round(self.median_ms, 4),
            "share": round(self.share, 5),
            **_against_the_machine(self),
        }


def _against_the_machine(row: Layer | Group) -> dict[str, Any]:
    """What it has to do at least, and how near it comes; null where there is nothing of the kind to do."""
    return {
        "macs": row.macs,
        "bytes": row.bytes,
        "of_gemm": round(row.of_gemm, 4) if row.macs else None,
        "of_copy": round(row.of_copy, 4) if row.bytes else None,
        "of_limit": round(row.of_limit, 4),
    }


@dataclass(frozen=True, slots=True)
class Profile:
    """All layers in order of execution, and what they are held against."""

    bundle: str
    precision: str
    threads: int | None
    frames: int
    frame_hw: tuple[int, int]
    run_ms: float
    """Median of whole runs, profiled: what is not in a kernel is ONNX Runtime's own, and the profiler's."""
    peak: Peak
    layers: tuple[Layer, ...]

    @property
    def kernels_ms(self) -> float:
        """Sum of the layers' medians."""
        return sum(layer.median_ms for layer in self.layers)

    @property
    def limit_ms(self) -> float:
        """How long the layers would take, were each at this machine's best."""
        return sum(layer.fastest_ms * layer.of_limit for layer in self.layers)

    @property
    def fastest_ms(self) -> float:
        """Sum of the layers' fastest runs."""
        return sum(layer.fastest_ms for layer in self.layers)

    def groups(self) -> list[Group]:
        """By operator, the slowest first."""
        parts: dict[str, list[Layer]] = {}
        for layer in self.layers:
            parts.setdefault(_title(layer), []).append(layer)
        groups = [_group(title, layers) for title, layers in parts.items()]
        return sorted(groups, key=lambda group: group.median_ms, reverse=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for `--json`."""
        return {
            "bundle": self.bundle,
            "precision": self.precision,
            "backend": "onnxruntime",
            "threads": self.threads,
            "frames": self.frames,
            "frame_hw": list(self.frame_hw),
            "run_ms": round(self.run_ms, 4),
            "kernels_ms": round(self.kernels_ms, 4),
            "fastest_ms": round(self.fastest_ms, 4),
            "limit_ms": round(self.limit_ms, 4),
            "macs": sum(layer.macs for layer in self.layers),
            "peak": self.peak.to_dict(),
            "operators": [group.to_dict() for group in self.groups()],
            "layers": [layer.to_dict() for layer in self.layers],
        }


def profile_bundle(
    bundle: Bundle, *, precision: str = "fp32", threads: int | None = None, frames: int = 20, peak: Peak | None = None
) -> Profile:
    """Run a bundle's golden frames in turns in ONNX Runtime on the CPU; `peak` is measured unless it is given.

    Raises `ConfigError` for no frames, `BundleError` for a precision that the bundle does not have, and
    `BackendUnavailable` where ONNX Runtime is missing.
    """
    check_threads(threads)
    if frames < 1:
        raise ConfigError(f"--frames {frames}: expected 1 or more.")
    found = graph_precision(precision, "onnxruntime")
    model, name = bundle.graph_bytes(found), str(bundle.graph_path(found))
    golden = [frame.frame_bgr[np.newaxis] for frame in bundle.golden()]
    key = bundle.contract.frame.name
    feeds = [{key: golden[number % len(golden)]} for number in range(frames + 1)]
    optimised = found not in UNOPTIMISED
    timed = trace(model, feeds, threads=threads, optimised=optimised, name=name)
    seen = trace(model, feeds[:1], threads=threads, optimised=optimised, packed=False, skip=0, name=name)
    peak = peak or measure_peak(threads)
    height, width = golden[0].shape[1:3]
    return Profile(
        str(bundle.path), found, threads, frames, (height, width), timed.median_ms, peak, _layers(timed, seen, peak)
    )


def _layers(timed: Trace, seen: Trace, peak: Peak) -> tuple[Layer, ...]:
    """Times of `timed`, and inputs of `seen`, where weights are listed too."""
    total_ms = sum(kernel.median_ms for kernel in timed.kernels)
    listed = {_node(kernel): kernel for kernel in seen.kernels}
    layers = []
    for kernel in timed.kernels:
        other = listed.get(_node(kernel))
        inputs = other.inputs if other is not None and len(other.inputs) > len(kernel.inputs) else kernel.inputs
        layers.append(_layer(kernel, inputs, peak, total_ms))
    return tuple(layers)


def _node(kernel: Kernel) -> tuple[object, ...]:
    """What is the same in every session: the rest of a name, and a node's number, are counted out anew in each."""
    return re.sub(r"_token_\d+", "", kernel.name), kernel.operator, kernel.outputs


def _layer(kernel: Kernel, inputs: Sequence[Tensor], peak: Peak, total_ms: float) -> Layer:
    outputs = kernel.outputs
    products, moved = macs(kernel.operator, inputs, outputs), moved_bytes(kernel.operator, inputs, outputs)
    int8 = in_int8(inputs)
    fastest_ns = max(kernel.fastest_ms, 1e-3) * 1e6
    return Layer(
        kernel.name,
        kernel.operator,
        outputs[0].shape if outputs else (),
        int8,
        kernel.median_ms,
        kernel.fastest_ms,
        kernel.median_ms / total_ms if total_ms else 0.0,
        products,
        moved,
        products / fastest_ns / (peak.int8_gmacs if int8 else peak.fp32_gmacs),
        moved / fastest_ns / peak.copy_gbytes,
    )


def _title(layer: Layer) -> str:
    return f"{layer.operator} int8" if layer.macs and layer.int8 else layer.operator


def _group(title: str, layers: Sequence[Layer]) -> Group:
    fastest_ms = max(sum(layer.fastest_ms for layer in layers), 1e-3)

    def weighted(share: Callable[[Layer], float]) -> float:
        return sum(layer.fastest_ms * share(layer) for layer in layers) / fastest_ms

    return Group(
        title,
        len(layers),
        sum(layer.median_ms for layer in layers),
        sum(layer.share for layer in layers),
        sum(layer.macs for layer in layers),
        sum(layer.bytes for layer in layers),
        weighted(lambda layer: layer.of_gemm),
        weighted(lambda layer: layer.of_copy),
        weighted(lambda layer: layer.of_limit),
    )

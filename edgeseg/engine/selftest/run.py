"""The whole self-test, in order. What goes wrong is written down with its reason, and the rest is done all the same."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any

from edgeseg import __version__
from edgeseg.bundle import Bundle
from edgeseg.engine.selftest import checks, variants
from edgeseg.engine.selftest.graphs import SUITE, Upsampling
from edgeseg.engine.selftest.kits import Kit, bundle_precisions
from edgeseg.engine.selftest.report import Item, SelftestReport
from edgeseg.engine.selftest.timing import DURATION_S, measure
from edgeseg.errors import BackendUnavailable, ConfigError, EdgesegError
from edgeseg.graph.frames import NamedFrame, road_scenes
from edgeseg.lazy import require
from edgeseg.runtime.segmenter import Clock
from edgeseg.types import Labels

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SelftestConfig:
    """How long a self-test takes, mostly."""

    seconds: float = DURATION_S
    """For which each graph is timed, after its warm-up."""
    suite: tuple[Upsampling, ...] = SUITE
    """Transposed convolutions to try."""
    variants_of: Upsampling = variants.END
    """The function whose forms are timed."""

    @staticmethod
    def quick() -> SelftestConfig:
        """For a first look: half a second for each graph, and every third transposed convolution."""
        return SelftestConfig(seconds=0.5, suite=SUITE[::3])

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 600:
            raise ConfigError(f"seconds={self.seconds}: expected more than 0 and at most 600 for each graph.")


def run_selftest(
    bundle: Bundle,
    kit: Kit,
    config: SelftestConfig = SelftestConfig(),
    *,
    machine: Mapping[str, Any],
    tell: Tell = lambda _: None,
    clock: Clock = time.perf_counter,
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> SelftestReport:
    """Everything on one runtime; `machine` is told in the report, `tell` gets a line before each part.

    Raises `UnavailableError` where onnx or ONNX Runtime is missing, which the reference needs. All that goes wrong
    afterwards is an item that failed; only an interruption by the user ends the run.
    """
    require("onnx", extra="tensorrt")
    began = clock()
    runtime = kit.describe()
    collected = _Collector(tell)
    scenes = road_scenes(bundle.contract.camera_hw, bundle.contract.network_hw)
    reference: list[Labels] = []
    collected.add("parity", "reference", partial(_refer, reference, bundle, scenes))
    for precision in bundle_precisions(kit, bundle):
        work = partial(_graph, bundle, kit, precision, config, scenes, reference, tell, clock)
        collected.add("bundle", precision, work)
    for case in config.suite:
        collected.add("transposed convolutions", case.name, partial(checks.transposed_items, kit, case))
    collected.add("invalid frames", "a graph that divides", partial(checks.invalid_items, kit))
    for family in variants.FAMILIES:
        timed = partial(variants.variant_items, kit, family, config.variants_of, seconds=config.seconds, clock=clock)
        collected.add("variants", family, timed)
    return SelftestReport(
        bundle=bundle.name,
        edgeseg=__version__,
        created=now().astimezone(timezone.utc).isoformat(timespec="seconds"),
        seconds=clock() - began,
        machine=machine,
        runtime=runtime,
        items=tuple(collected.items),
        best=variants.best(collected.items),
    )


def _refer(reference: list[Labels], bundle: Bundle, scenes: Sequence[NamedFrame]) -> Iterator[Item]:
    """Fill `reference`; gives no item unless it fails."""
    reference += checks.reference_labels(bundle, scenes)
    yield from ()


def _graph(
    bundle: Bundle,
    kit: Kit,
    precision: str,
    config: SelftestConfig,
    scenes: Sequence[NamedFrame],
    reference: Sequence[Labels],
    tell: Tell,
    clock: Clock,
) -> Iterator[Item]:
    """One of the bundle's graphs: opened once, replayed, compared, timed."""
    golden = bundle.golden()
    opened = kit.open_bundle(bundle, precision, tell)
    with opened.session as session:
        yield Item("engines" if kit.backend == "tensorrt" else "graphs", precision, None, opened.figures)
        yield from checks.golden_items(session, precision, golden)
        if reference:
            yield checks.parity_item(session, precision, scenes, reference)
        frame = golden[0].frame_bgr[None]
        latency = measure(lambda: session.run(frame), clock, config.seconds)
        height, width = frame.shape[1:3]
        figures: dict[str, str | int | float | bool | None] = {"frame": f"{height}x{width}", **latency.to_dict()}
        for told in ("cuda_graph", "graph_refused"):
            if hasattr(session, told):
                figures[told] = getattr(session, told)
        yield Item("latency", precision, None, figures)


class _Collector:
    """Items as they come; an exception becomes one."""

    def __init__(self, tell: Tell) -> None:
        self.items: list[Item] = []
        self._tell = tell

    def add(self, section: str, name: str, work: Callable[[], Iterable[Item]]) -> None:
        """Do `work` and keep what it gives, up to where it fails."""
        self._tell(f"{section}: {name}")
        try:
            for item in work():
                self.items.append(item)
        except (EdgesegError, BackendUnavailable) as error:
            self.items.append(Item(section, name, False, error=str(error)))
        except Exception as error:
            # A defect, or a library that is not as its documentation says: who reads the report needs the place.
            place = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {' '.join(str(error).split())} ({place.name}, line {place.lineno})"
            self.items.append(Item(section, name, False, error=text))

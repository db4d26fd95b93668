"""How much accuracy INT8 may cost, and the search for the fastest graph that costs no more.

The search begins with everything in INT8. If that is over budget it tries the other ways of choosing ranges, which cost
no time on the device; then it leaves layers in float, the most sensitive first. How many it takes is found by doubling
and halving, because each trial is a whole evaluation. What it returns has been measured, every figure of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgeseg.metrics.confusion import EvaluationResult
from edgeseg.quantize.scoring import Score
from edgeseg.settings import at_least

MIN_CLASS_SHARE = 0.001
"""Share of the labelled pixels from which a class is held to the budget by itself: the IoU of a smaller one hangs on a
few pixels, and is reported only."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that INT8 may cost against FP32, in percentage points. Raises `ConfigError` for negative ones."""

    max_miou_drop: float = 0.3
    max_class_drop: float = 0.5
    """Of the IoU of any class with at least `MIN_CLASS_SHARE` of the labelled pixels."""
    max_disagreement: float = 0.5
    """Where there are no labels: percent of the pixels that INT8 may give another class than FP32. Measured with the
    default model on CamVid: 0.3 % at a mIoU drop of 0.07 points, 0.6 % at 0.37."""

    def __post_init__(self) -> None:
        at_least(0, **asdict(self))


@dataclass(frozen=True)
class Cost:
    """What a graph loses against FP32 on the evaluation set, in percentage points; negative where it gains."""

    miou_drop: float
    class_drop: Mapping[str, float]
    """Classes that are held to the budget."""
    disagreement: float | None
    """Percent of pixels with another class than FP32, where that is all there is to judge by: no labels."""

    @staticmethod
    def of(found: EvaluationResult, fp32: EvaluationResult, *, labelled: bool) -> Cost:
        """Compare two evaluations of the same frames; without labels FP32 itself was the truth."""
        shares = dict(zip(fp32.iou, (fp32.matrix.sum(axis=1) / fp32.matrix.sum()).tolist(), strict=True))
        drops = {
            name: 100 * (iou - (found.iou[name] or 0.0))
            for name, iou in fp32.iou.items()
            if iou is not None and shares[name] >= MIN_CLASS_SHARE
        }
        disagreement = None if labelled else 100 * (1 - found.pixel_accuracy)
        return Cost(100 * (fp32.miou - found.miou), drops, disagreement)

    def excess(self, budget: Budget) -> float:
        """Percentage points over the budget, by the worst of its limits; not above 0: within."""
        if self.disagreement is not None:
            return self.disagreement - budget.max_disagreement
        worst = max(self.class_drop.values(), default=0.0)
        return max(self.miou_drop - budget.max_miou_drop, worst - budget.max_class_drop)

    def describe(self, budget: Budget) -> str:
        """In words, with the limits."""
        if self.disagreement is not None:
            return f"{self.disagreement:.2f} % of pixels unlike FP32 (at most {budget.max_disagreement:g})"
        worst = max(self.class_drop, key=lambda name: self.class_drop[name], default=None)
        parts = [f"mIoU drop {self.miou_drop:.2f} points (at most {budget.max_miou_drop:g})"]
        if worst is not None:
            parts.append(f"worst class {worst} {self.class_drop[worst]:.2f} (at most {budget.max_class_drop:g})")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the manifest."""
        return {**asdict(self), "class_drop": dict(self.class_drop)}


@dataclass(frozen=True)
class Mix:
    """One graph that was tried."""

    method: str
    """How the ranges were chosen."""
    kept: tuple[str, ...]
    """Layers left in float for the budget's sake, most sensitive first."""
    score: Score
    cost: Cost
    latency_ms: float | None
    """None where this machine cannot say."""
    reference_ms: float | None
    """The fastest float graph, in turns with this one."""

    @property
    def speedup(self) -> float | None:
        """How many times faster than the fastest float graph."""
        if self.latency_ms is None or self.reference_ms is None:
            return None
        return self.reference_ms / self.latency_ms

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the report."""
        return {
            "method": self.method,
            "kept": list(self.kept),
            "cost": self.cost.to_dict(),
            "latency_ms": self.latency_ms,
            "float_latency_ms": self.reference_ms,
            "speedup": self.speedup,
            **self.score.to_dict(),
        }


@dataclass(frozen=True)
class Search:
    """All that was tried, and what was chosen; `refusal` says why nothing was."""

    mixes: tuple[Mix, ...]
    chosen: Mix | None
    refusal: str | None


def search(
    measure: Callable[[str, tuple[str, ...]], Mix],
    rank: Callable[[str], Sequence[str]],
    methods: Sequence[str],
    budget: Budget,
) -> Search:
    """The mix with the fewest float layers within the budget.

    `measure(method, kept)` builds and measures a graph; `rank(method)` gives the layers, the most sensitive first, and
    is asked only if no method alone is within the budget. `methods` are tried in this order.
    """
    mixes: list[Mix] = []

    def attempt(method: str, kept: tuple[str, ...]) -> Mix:
        mixes.append(measure(method, kept))
        return mixes[-1]

    def within(mix: Mix) -> bool:
        return mix.cost.excess(budget) <= 0

    for method in methods:
        mix = attempt(method, ())
        if within(mix):
            return _closed(mixes, mix)
        if _slow(mix):
            # Leaving layers in float does not make it faster.
            return Search(tuple(mixes), None, f"{_slower(mix)}, and over budget: {mix.cost.describe(budget)}")
    best = min(mixes, key=lambda mix: mix.cost.excess(budget))
    # At least one layer is INT8: a graph without any is not what was asked for.
    order = tuple(rank(best.method))[:-1]
    fails, count, found = 0, 1, None
    while found is None and fails < len(order):
        count = min(count, len(order))
        mix = attempt(best.method, order[:count])
        if within(mix):
            found = mix
        elif _slow(mix):
            break
        else:
            fails, count = count, 2 * count
    if found is None:
        last = mixes[-1]
        why = f"with {len(last.kept)} of {len(order)} layers in float it is still over budget"
        return Search(tuple(mixes), None, f"{why}: {last.cost.describe(budget)}{_and_slower(last)}")
    while len(found.kept) - fails > 1:
        middle = (fails + len(found.kept)) // 2
        mix = attempt(best.method, order[:middle])
        if within(mix):
            found = mix
        else:
            fails = middle
    return _closed(mixes, found)


def _closed(mixes: Sequence[Mix], mix: Mix) -> Search:
    """The search's end: within budget, and refused all the same if float is faster."""
    return Search(tuple(mixes), None, _slower(mix)) if _slow(mix) else Search(tuple(mixes), mix, None)


def _slow(mix: Mix) -> bool:
    return mix.speedup is not None and mix.speedup <= 1


def _slower(mix: Mix) -> str:
    return f"INT8 takes {mix.latency_ms:.1f} ms on this machine, the float graph {mix.reference_ms:.1f} ms"


def _and_slower(mix: Mix) -> str:
    return f"; {_slower(mix)}" if _slow(mix) else ""

"""How much accuracy INT8 may cost, and the search for the fastest graph that costs no more.

The search begins with everything in INT8, but for the few layers that alone make much of the noise, where a dialect has
such. If that is over budget it tries the other ways of choosing ranges, which cost no time on the device; then layers
stay in float, the most sensitive first. How many it takes is found by doubling and halving, because each trial is a
whole evaluation. What it returns has been measured, every figure of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgeseg.quantize.confidence import CONFIDENCE, disagreement_bound, upper_bounds
from edgeseg.quantize.scoring import Score
from edgeseg.settings import at_least

MIN_CLASS_SHARE = 0.001
"""Share of the labelled pixels from which a class is held to the budget by itself: the IoU of a smaller one hangs on a
few pixels, and is reported only."""

SEEN_MARGIN = 0.16
"""Points that are added to the drop of mIoU on frames which the network was trained on, because it is surer of them:
the mean of what six INT8 graphs of a network trained on CamVid train lost more on val than on train. Its single classes
went either way, by up to two points (docs/adr/0024)."""


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
    """What a graph loses against FP32 on the evaluation set, in percentage points; negative where it gains.

    Each figure as measured, and what it is at most on other frames like these (`edgeseg.quantize.confidence`).
    """

    miou_drop: float
    miou_drop_at_most: float
    class_drop: Mapping[str, float]
    """Classes that are held to the budget."""
    class_drop_at_most: Mapping[str, float]
    disagreement: float | None = None
    """Percent of pixels with another class than FP32, where that is all there is to judge by: no labels."""
    disagreement_at_most: float | None = None
    margin: float = 0.0
    """Points that are added to the drop of mIoU before it is held against the budget: `SEEN_MARGIN`, or none."""

    @staticmethod
    def of(found: Score, fp32: Score, *, labelled: bool, seen: bool = False) -> Cost:
        """Compare two evaluations of the same frames; without labels FP32 itself was the truth. `seen`: the network was
        trained on these frames."""
        matrix = fp32.result.matrix
        shares = dict(zip(fp32.result.iou, (matrix.sum(axis=1) / matrix.sum()).tolist(), strict=True))
        miou_bound, class_bounds = upper_bounds(fp32.frames, found.frames)
        bounds = dict(zip(fp32.result.iou, class_bounds.tolist(), strict=True))
        drops = {
            name: 100 * (iou - (found.result.iou[name] or 0.0))
            for name, iou in fp32.result.iou.items()
            if iou is not None and shares[name] >= MIN_CLASS_SHARE
        }
        return Cost(
            100 * (fp32.result.miou - found.result.miou),
            miou_bound,
            drops,
            {name: bounds[name] for name in drops},
            None if labelled else 100 * (1 - found.result.pixel_accuracy),
            None if labelled else disagreement_bound(found.frames),
            SEEN_MARGIN if seen and labelled else 0.0,
        )

    def excess(self, budget: Budget) -> float:
        """Percentage points over the budget, by the worst of its limits; not above 0: within.

        mIoU and disagreement count at their bounds. A class counts as measured: on a hundred frames the bounds of small
        classes lie 0.2 to 0.5 points higher, and of a dozen classes one is always at its bound by chance.
        """
        if self.disagreement_at_most is not None:
            return self.disagreement_at_most - budget.max_disagreement
        worst = max(self.class_drop.values(), default=0.0)
        return max(self.miou_drop_at_most + self.margin - budget.max_miou_drop, worst - budget.max_class_drop)

    def describe(self, budget: Budget) -> str:
        """In words, with the limits."""
        if self.disagreement is not None and self.disagreement_at_most is not None:
            found = _bounded(self.disagreement, self.disagreement_at_most, " %")
            return f"pixels unlike FP32 {found}; budget {budget.max_disagreement:g} %"
        found = _bounded(self.miou_drop, self.miou_drop_at_most, f" with {100 * CONFIDENCE:.0f} % confidence")
        reserve = f" less {self.margin:g}, it was trained on these frames" if self.margin else ""
        parts = [f"mIoU drop {found}; budget {budget.max_miou_drop:g}{reserve}"]
        worst = max(self.class_drop, key=lambda name: self.class_drop[name], default=None)
        if worst is not None:
            found = _bounded(self.class_drop[worst], self.class_drop_at_most[worst])
            parts.append(f"worst class {worst} {found}; budget {budget.max_class_drop:g}")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the manifest."""
        plain = {"class_drop": dict(self.class_drop), "class_drop_at_most": dict(self.class_drop_at_most)}
        return {**asdict(self), **plain}


@dataclass(frozen=True)
class Mix:
    """One graph that was tried."""

    method: str
    """How the ranges were chosen."""
    kept: tuple[str, ...]
    """Layers left in float, most sensitive first: the loud ones, then those left for the budget's sake."""
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
    loud: tuple[str, ...] = (),
) -> Search:
    """The mix with the fewest float layers within the budget; `loud` ones are in float from the start.

    `measure(method, kept)` builds and measures a graph; `rank(method)` gives the layers, the most sensitive first, and
    is asked only if no method alone is within the budget. `methods` are tried in this order.
    """
    mixes: list[Mix] = []

    def attempt(method: str, kept: tuple[str, ...]) -> Mix:
        mixes.append(measure(method, (*loud, *kept)))
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
    order = tuple(layer for layer in rank(best.method) if layer not in loud)[:-1]
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
        why = f"with {len(last.kept)} of {len(loud) + len(order)} layers in float it is still over budget"
        return Search(tuple(mixes), None, f"{why}: {last.cost.describe(budget)}{_and_slower(last)}")
    while len(found.kept) - len(loud) - fails > 1:
        middle = (fails + len(found.kept) - len(loud)) // 2
        mix = attempt(best.method, order[:middle])
        if within(mix):
            found = mix
        else:
            fails = middle
    return _closed(mixes, found)


def _bounded(measured: float, at_most: float, unit: str = "") -> str:
    return f"{measured:.2f} (at most {at_most:.2f}{unit})"


def _closed(mixes: Sequence[Mix], mix: Mix) -> Search:
    """The search's end: within budget, and refused all the same if float is faster."""
    return Search(tuple(mixes), None, _slower(mix)) if _slow(mix) else Search(tuple(mixes), mix, None)


def _slow(mix: Mix) -> bool:
    return mix.speedup is not None and mix.speedup <= 1


def _slower(mix: Mix) -> str:
    return f"INT8 takes {mix.latency_ms:.1f} ms on this machine, the float graph {mix.reference_ms:.1f} ms"


def _and_slower(mix: Mix) -> str:
    return f"; {_slower(mix)}" if _slow(mix) else ""

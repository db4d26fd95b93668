"""The accuracy/latency front of a search as a picture: every graph that was tried, FP32, and the budget's line."""

from __future__ import annotations

from pathlib import Path

from edgeseg.files import atomic_path
from edgeseg.lazy import require
from edgeseg.quantize.budget import Budget, Search
from edgeseg.quantize.scoring import Score

_SIZE_INCHES = (7.0, 4.2)
_DPI = 120


def save_front(path: Path, search: Search, fp32: Score, budget: Budget, title: str) -> None:
    """Write a PNG: latency (or, where it cannot be measured, layers in float) against what the budget is about, as
    measured and, down the line below the mark, as bad as it may be on other frames."""
    require("matplotlib.figure", extra="train")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    timed = all(mix.latency_ms is not None for mix in search.mixes)
    labelled = all(mix.cost.disagreement is None for mix in search.mixes)
    top = 100 * (fp32.result.miou if labelled else 1.0)
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for mix in search.mixes:
        within = mix.cost.excess(budget) <= 0
        across = float(len(mix.kept)) if mix.latency_ms is None or not timed else mix.latency_ms
        height = 100 * (mix.score.result.miou if labelled else mix.score.result.pixel_accuracy)
        at_most = mix.cost.miou_drop_at_most if labelled else mix.cost.disagreement_at_most
        chosen = mix is search.chosen
        axes.scatter(
            across,
            height,
            s=110 if chosen else 45,
            marker="*" if chosen else "o",
            color="tab:green" if within else "tab:red",
            zorder=3,
        )
        if at_most is not None:
            axes.vlines(across, top - at_most, height, color="tab:green" if within else "tab:red", linewidth=1.2)
        words = f"{mix.method}, {len(mix.kept)} in float" if mix.kept else mix.method
        axes.annotate(words, (across, height), xytext=(6, 4), textcoords="offset points", fontsize=8)
    limit = top - (budget.max_miou_drop if labelled else budget.max_disagreement) + search.mixes[0].cost.margin
    reference = [mix.reference_ms for mix in search.mixes if mix.reference_ms is not None]
    if timed and reference:
        axes.scatter(reference[-1], top, s=60, marker="s", color="tab:blue", zorder=3)
        axes.annotate("float", (reference[-1], top), xytext=(-6, 4), textcoords="offset points", fontsize=8, ha="right")
    axes.axhline(top, color="tab:blue", linewidth=0.8)
    axes.axhline(limit, color="grey", linewidth=0.8, linestyle="--")
    axes.annotate("budget", (0.995, limit), xycoords=("axes fraction", "data"), fontsize=8, ha="right", va="top")
    axes.set_xlabel("median latency, ms" if timed else "layers left in float")
    if not timed:
        # Room to each side: a single mix would otherwise stand on an axis of fractions of a layer.
        counts = [len(mix.kept) for mix in search.mixes]
        axes.set_xlim(min(counts) - 0.5, max(counts) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylabel("mIoU, %" if labelled else "pixels of FP32's class, %")
    axes.set_title(f"{title}: green is within the budget; lines end at the bound", fontsize=10)
    axes.margins(x=0.15 if timed else None, y=0.15)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")

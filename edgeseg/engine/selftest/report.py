"""What a self-test found: items in sections, as JSON and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from edgeseg.errors import GateError

SCHEMA = 1

Figure = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was looked at."""

    section: str
    name: str
    passed: bool | None
    """None for what is measured and not judged."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    error: str | None = None
    """Why it could not be looked at."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what is no finite number is None."""
        figures = {
            name: None if isinstance(value, float) and not isfinite(value) else value
            for name, value in self.figures.items()
        }
        return {"name": self.name, "passed": self.passed, **figures, **({"error": self.error} if self.error else {})}


@dataclass(frozen=True, slots=True)
class SelftestReport:
    """Everything that a run found."""

    bundle: str
    edgeseg: str
    created: str
    """UTC, ISO 8601."""
    seconds: float
    """How long the run took."""
    machine: Mapping[str, Any]
    runtime: Mapping[str, Any]
    """What ran the graphs: backend, versions, GPU, what a latency includes."""
    items: tuple[Item, ...]
    best: Mapping[str, str]
    """Family of variants → the fastest here of those that are right."""

    @property
    def failed(self) -> tuple[Item, ...]:
        """Items that did not pass."""
        return tuple(item for item in self.items if item.passed is False)

    def raise_if_failed(self) -> None:
        """Raise `GateError` naming the first item that failed."""
        if self.failed:
            first = self.failed[0]
            why = first.error or ", ".join(f"{name} {_text(value)}" for name, value in first.figures.items())
            raise GateError(
                f"{len(self.failed)} of {len(self.items)} checks failed, first: {first.section}, {first.name}: {why}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "schema": SCHEMA,
            "passed": not self.failed,
            "bundle": self.bundle,
            "edgeseg": self.edgeseg,
            "created": self.created,
            "seconds": round(self.seconds, 1),
            "machine": dict(self.machine),
            "runtime": dict(self.runtime),
            "best": dict(self.best),
            "sections": {
                section: [item.to_dict() for item in self.items if item.section == section]
                for section in dict.fromkeys(item.section for item in self.items)
            },
        }

    def to_markdown(self) -> str:
        """A page with a table for each section."""
        verdict = f"{len(self.failed)} of {len(self.items)} failed" if self.failed else "all passed"
        facts = {"bundle": self.bundle, "edgeseg": self.edgeseg, "when": self.created, **self.runtime, **self.machine}
        parts = [
            f"# edgeseg selftest: {verdict}",
            "\n".join(f"- {name}: {_text(value)}" for name, value in facts.items() if value is not None),
        ]
        if self.best:
            parts.append("Fastest here: " + "; ".join(f"{family}: {name}" for family, name in self.best.items()) + ".")
        parts.extend(
            f"## {section}\n\n{_table([item for item in self.items if item.section == section])}"
            for section in dict.fromkeys(item.section for item in self.items)
        )
        errors = [item for item in self.items if item.error is not None]
        if errors:
            parts.append(
                "## errors\n\n" + "\n\n".join(f"**{item.section}, {item.name}**: {item.error}" for item in errors)
            )
        return "\n\n".join(parts) + "\n"


def _table(items: Sequence[Item]) -> str:
    columns = list(dict.fromkeys(name for item in items for name in item.figures))
    judged = any(item.passed is not None for item in items)
    rows = [["", *columns, *(["result"] if judged else [])]]
    rows.append(["---", *("---:" for _ in columns), *(["---"] if judged else [])])
    for item in items:
        result = {None: "", True: "ok", False: "**FAILED**"}[item.passed]
        rows.append([item.name, *(_text(item.figures.get(name)) for name in columns), *([result] if judged else [])])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1e4 else str(value).replace("|", "/")

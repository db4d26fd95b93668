"""What a rule looks at, what it says, and the report that comes of all rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from edgeseg.errors import GateError

if TYPE_CHECKING:
    from edgeseg.engine.lint.target import Target
    from edgeseg.engine.lint.view import GraphView

ERROR = "error"
"""TensorRT would not build it, or would compute something else than was checked."""

WARNING = "warning"
"""It builds, but slower, less accurate or elsewhere than one may think; or our tables do not know."""

GRAPH = "(graph)"
"""In place of a node's name, where the whole graph is meant."""


class Fault(NamedTuple):
    """One place where a rule does not hold."""

    node: str
    found: str
    advice: str
    """What to do about it."""


class Rule(NamedTuple):
    """A rule of TensorRT's: `check` yields every place that breaks it."""

    name: str
    severity: str
    reason: str
    """Why there is this rule, in a line."""
    check: Callable[[GraphView, Target], Iterator[Fault]]


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault with the name and severity of its rule."""

    rule: str
    severity: str
    node: str
    found: str
    advice: str


@dataclass(frozen=True, slots=True)
class LintReport:
    """What all rules said of one graph for one release of TensorRT; errors first."""

    graph: str
    """What was looked at: a precision or a file."""
    target: str
    findings: tuple[Finding, ...]
    nodes: int

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings for which it would not build."""
        return tuple(finding for finding in self.findings if finding.severity == ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The others."""
        return tuple(finding for finding in self.findings if finding.severity == WARNING)

    def raise_if_failed(self) -> None:
        """Raise `GateError` naming the first error."""
        if self.errors:
            first = self.errors[0]
            more = f" ({len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
            raise GateError(
                f"{self.graph} would not build for {self.target}: {first.rule}, {first.node}: {first.found}{more}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "graph": self.graph,
            "target": self.target,
            "nodes": self.nodes,
            "builds": not self.errors,
            "findings": [
                {
                    "rule": finding.rule,
                    "severity": finding.severity,
                    "node": finding.node,
                    "found": finding.found,
                    "advice": finding.advice,
                }
                for finding in self.findings
            ],
        }

"""Lint before build: does a TensorRT release build this graph, as it was checked, and what falls back on a DLA?"""

from edgeseg.engine.lint.check import RULES, lint_bundle, lint_bytes, lint_file, lint_model
from edgeseg.engine.lint.finding import ERROR, WARNING, Finding, LintReport, Rule
from edgeseg.engine.lint.target import Target, installed_target, parse_target

__all__ = [
    "ERROR",
    "RULES",
    "WARNING",
    "Finding",
    "LintReport",
    "Rule",
    "Target",
    "installed_target",
    "lint_bundle",
    "lint_bytes",
    "lint_file",
    "lint_model",
    "parse_target",
]

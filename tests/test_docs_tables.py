"""The page of formats and networks names every one of them, once, with the test that proves it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edgeseg.data import FORMATS

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "formats-and-networks.md").read_text()
ROW = re.compile(r"^\| (`[^|]+`) \|(.*)\|$", re.MULTILINE)


def rows(section: str) -> dict[str, str]:
    """Name → the rest of its row, in the tables under a heading."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0].partition("<!-- measured: begin -->")[0]
    found: dict[str, str] = {}
    for names, rest in ROW.findall(text):
        for name in re.findall(r"`([^`]+)`", names):
            assert name not in found, f"{name} twice"
            found[name] = rest
    return found


def test_every_format_has_a_row_with_its_tests() -> None:
    table = rows("Dataset formats")
    assert set(table) == set(FORMATS)
    for name, rest in table.items():
        assert "](../tests/data/test_" in rest, name


def test_every_network_has_a_row_with_its_tests_and_was_measured() -> None:
    pytest.importorskip("torch")
    from edgeseg.models.registry import ANY_UPSAMPLING, NETWORKS

    table = rows("Networks")
    assert set(table) == set(NETWORKS)
    for name, rest in table.items():
        assert "](../tests/models/test_" in rest, name
        assert rest.split("|")[1].strip().startswith("any") == (name in ANY_UPSAMPLING), name
    measured = json.loads((ROOT / "benchmarks" / "results" / "zoo.json").read_text())["networks"]
    assert set(measured) == set(NETWORKS)
    tabled = PAGE.partition("<!-- measured: begin -->")[2]
    assert {name for name in NETWORKS if f"| `{name}` " in tabled} == set(NETWORKS)

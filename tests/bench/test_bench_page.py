from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

import pytest
from tiny_benchmark import HW, always, benchmark
from tiny_bundle import tiny_bundle

from edgeseg.bench.candidate import all_wanted
from edgeseg.bench.markdown import to_markdown
from edgeseg.bench.page import to_html
from edgeseg.bench.report import BenchmarkReport
from edgeseg.bench.tables import tables
from edgeseg.bundle import Bundle


class Balanced(HTMLParser):
    """Fails where a tag is closed that is not open, or something would be fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "img", "link", "iframe", "object")
        assert not {"src", "href", "onload"} & {name for name, _ in attrs}
        if tag != "meta":  # which HTML never closes
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkReport:
    folder = tmp_path_factory.mktemp("alone")
    latency = itertools.cycle([20.0, 20.5, 21.0, 40.0])
    wanted = all_wanted([tiny_bundle(folder / "a.edgeseg", HW)], ["fp32"], ["onnxruntime"])
    return benchmark(folder, wanted, {"fp32": lambda: next(latency)}, end_to_end=True, deadline_ms=33, starts=1)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkReport:
    folder = tmp_path_factory.mktemp("several")
    bundles: list[Bundle] = [tiny_bundle(folder / name, HW) for name in ("<b>&.edgeseg", "c.edgeseg")]
    wanted = all_wanted(bundles, ["fp32", "fp16"], ["onnxruntime"])
    return benchmark(folder, wanted, {"fp32": always(30), "fp16": always(20)}, starts=0)


@pytest.mark.parametrize("which", ["alone", "several"])
def test_the_page_is_whole_and_fetches_nothing(which: str, request: pytest.FixtureRequest) -> None:
    report: BenchmarkReport = request.getfixturevalue(which)
    page = to_html(report)
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    assert not re.search(r"https?:|@import|url\(", page)
    for table in tables(report):
        assert table.title in parser.text
        for row in table.rows:
            assert all(cell in parser.text for cell in row)
    for one in report.not_measured:
        assert one.what in parser.text


@pytest.mark.parametrize("which", ["alone", "several"])
def test_the_charts_stay_inside_their_frames(which: str, request: pytest.FixtureRequest) -> None:
    page = to_html(request.getfixturevalue(which))
    drawn = [float(n) for points in re.findall(r'points="([^"]+)"', page) for n in re.split("[ ,]", points)]
    drawn += [float(n) for n in re.findall(r' x[12]?="([^"]+)"', page)]
    assert len(drawn) > 100
    assert min(drawn) >= 0
    assert max(drawn) <= 100


def test_the_page_says_whether_the_deadline_held(alone: BenchmarkReport) -> None:
    assert "Deadline of 33 ms for the p95 of frame age in the camera loop: missed" in to_html(alone)
    assert "tiny fp32 fake takes" in to_markdown(alone)


def test_names_are_escaped(several: BenchmarkReport) -> None:
    assert "<b>&." not in to_html(several)
    assert "&lt;b&gt;&amp;." in to_html(several)


def test_markdown_tables_have_as_many_cells_in_every_row(several: BenchmarkReport, alone: BenchmarkReport) -> None:
    for report in (several, alone):
        text = to_markdown(report)
        for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            assert len({line.count("|") for line in block.splitlines()}) == 1
        assert "## Not measured" in text
    assert "1.500 ×" in to_markdown(several)


def test_what_several_are_compared_by_stands_in_one_table(several: BenchmarkReport) -> None:
    found = {table.title: table for table in tables(several)}
    assert len(found["session (ms)"].rows) == 4
    ratios = found[f"times as fast as {several.candidates[0].label}"]
    assert [row[1] for row in ratios.rows] == ["1.500 ×", "1.000 ×", "1.500 ×"]
    assert [row[3] for row in ratios.rows] == ["faster", "cannot be told apart", "faster"]

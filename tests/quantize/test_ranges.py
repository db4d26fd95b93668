"""Activation ranges: what the five methods say, on values whose answer is known; memory; the saved table."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgeseg.errors import ConfigError, DataError
from edgeseg.quantize import clipping, ranges
from edgeseg.quantize.clipping import entropy_range, mse_range, percentile_range
from edgeseg.quantize.histogram import BINS_PER_SIDE, Histogram
from edgeseg.quantize.ranges import METHODS, Range, RangeTable, graph_digest, observe_ranges
from edgeseg.types import Frame

HW = (24, 32)


def graph(*operators: tuple[str, float], size_hw: tuple[int | None, int | None] = HW) -> ModelProto:
    """frame → Cast → each operator with a constant, in a row: tensors `t0` (the cast), `t1`, …"""
    nodes = [helper.make_node("Cast", ["frame"], ["t0"], to=TensorProto.FLOAT)]
    constants = []
    for number, (operator, constant) in enumerate(operators, start=1):
        inputs = [f"t{number - 1}"]
        if operator not in ("Relu", "Log"):
            constants.append(numpy_helper.from_array(np.float32(constant), f"c{number}"))
            inputs.append(f"c{number}")
        nodes.append(helper.make_node(operator, inputs, [f"t{number}"]))
    names = [node.output[0] for node in nodes]
    nodes.append(helper.make_node("Cast", [names[-1]], ["labels"], to=TensorProto.UINT8))
    shape = (1, *size_hw, 3)
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]
    made = helper.make_graph(
        nodes,
        "row",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("labels", TensorProto.UINT8, shape)],
        constants,
        value_info=infos,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def frames(count: int, size_hw: tuple[int, int] = HW) -> Iterator[Frame]:
    """Noise, of one brightness after another."""
    for index in range(count):
        rng = np.random.default_rng(index)
        yield rng.integers(5 * (index % 20), 100 + 5 * (index % 20), (*size_hw, 3), dtype=np.uint8)


def histogram_of(values: NDArray[np.floating], parts: int = 1) -> Histogram:
    histogram = Histogram()
    for part in np.array_split(values.astype(np.float32), parts):
        histogram.add(part, peak=float(np.abs(part).max()))
    return histogram


class TestHistogram:
    def test_widening_loses_no_count_and_gives_what_the_last_width_would_have_given(self) -> None:
        values = np.random.default_rng(0).normal(size=5000) * np.geomspace(1e-6, 700, 5000)
        grown, at_once = histogram_of(values, parts=50), Histogram()
        at_once.add(values.astype(np.float32), peak=float(np.abs(values.astype(np.float32)).max()))
        assert grown.total == 5000
        np.testing.assert_array_equal(grown.counts, at_once.counts)

    def test_order_does_not_matter(self) -> None:
        values = np.random.default_rng(1).standard_cauchy(3000)
        np.testing.assert_array_equal(histogram_of(values, 30).counts, histogram_of(values[::-1], 7).counts)

    def test_each_value_lies_in_its_bin(self) -> None:
        values = np.array([-4.0, -3.999, -1e-3, 0.0, 1e-3, 2.0, 3.999, 4.0], np.float32)
        histogram = histogram_of(values)
        assert histogram.zeros == 1
        counts, _ = np.histogram(values[values != 0], histogram.edges())
        np.testing.assert_array_equal(histogram.counts, counts)

    def test_a_peak_that_is_a_power_of_two_still_has_a_bin(self) -> None:
        histogram = histogram_of(np.array([8.0, -8.0]))
        assert histogram.counts.sum() == 2
        assert histogram.edges()[0] <= -8.0
        assert histogram.edges()[-1] > 8.0

    @pytest.mark.parametrize("peak", [1e-44, 1e-30, 3.4e38])
    def test_extreme_peaks(self, peak: float) -> None:
        assert histogram_of(np.array([peak, -peak / 2, 0])).total == 3

    def test_nothing_but_zeros(self) -> None:
        histogram = Histogram()
        histogram.add(np.zeros(10, np.float32), peak=0.0)
        assert (histogram.zeros, histogram.total) == (10, 10)
        assert percentile_range(histogram) == entropy_range(histogram) == mse_range(histogram, 0, 0) == (0.0, 0.0)


class TestPercentile:
    def test_as_numpy_up_to_a_bin(self) -> None:
        values = np.random.default_rng(2).normal(0.3, 2.0, 200_000).astype(np.float32)
        low, high = percentile_range(histogram := histogram_of(values))
        expected = np.percentile(values, [100 - clipping.PERCENTILE, clipping.PERCENTILE])
        np.testing.assert_allclose((low, high), expected, atol=2 * histogram.width)

    def test_zeros_count_as_values(self) -> None:
        values = np.maximum(np.random.default_rng(3).normal(-1, 1, 200_000), 0).astype(np.float32)
        low, high = percentile_range(histogram := histogram_of(values))
        assert low == 0.0
        assert high == pytest.approx(np.percentile(values, clipping.PERCENTILE), abs=2 * histogram.width)

    def test_fewer_values_than_are_cut_are_not_there(self) -> None:
        values = np.zeros(100_000, np.float32)
        values[:5] = [1, 2, 3, 4, -9]
        assert percentile_range(histogram_of(values)) == (0.0, 0.0)


class TestEntropy:
    def test_as_the_published_procedure_step_by_step(self) -> None:
        values = np.abs(np.random.default_rng(4).standard_t(3, 60_000)).astype(np.float32)
        histogram = histogram_of(values)
        bins = clipping._resampled(histogram)
        divergences = {m: self.by_the_slides(bins.tolist(), m) for m in range(128, 2049, 128)}
        for kept, expected in divergences.items():
            assert clipping._divergence(bins, kept) == pytest.approx(expected, rel=1e-9), kept

    def test_the_end_is_where_the_divergence_is_least(self) -> None:
        values = np.random.default_rng(5).standard_t(3, 60_000).astype(np.float32)
        histogram = histogram_of(values)
        bins = clipping._resampled(histogram)
        best = min(range(128, 2049, 8), key=lambda kept: clipping._divergence(bins, kept))
        last = np.flatnonzero(histogram.magnitudes())[-1] + 1
        low, high = entropy_range(histogram)
        assert high == -low == pytest.approx((best + 0.5) * last * histogram.width / 2048)
        assert high < np.abs(values).max() / 2  # a heavy tail is cut

    def test_values_that_fill_the_span_evenly_are_kept(self) -> None:
        values = np.random.default_rng(6).uniform(-1, 1, 100_000).astype(np.float32)
        assert entropy_range(histogram_of(values))[1] > 0.97

    @staticmethod
    def by_the_slides(bins: Sequence[float], m: int) -> float:
        """Migacz, GTC 2017, slides 36 to 38, written out slowly; bins are merged as evenly as whole numbers allow."""
        reference = list(bins[:m])
        reference[m - 1] += sum(bins[m:])
        candidate = [0.0] * m
        for level in range(128):
            group = range(level * m // 128, (level + 1) * m // 128)
            filled = [index for index in group if bins[index] > 0]
            for index in filled:
                candidate[index] = sum(bins[i] for i in group) / len(filled)
        p, q = sum(reference), sum(candidate)
        total = 0.0
        for one, other in zip(reference, candidate, strict=True):
            if one > 0:
                total += one / p * np.log((one / p) / (other / q)) if other > 0 else np.inf
        return total


class TestSquaredError:
    def test_no_other_range_of_a_grid_has_a_smaller_error_when_values_are_really_quantised(self) -> None:
        values = np.random.default_rng(7).normal(0, 1, 200_000).astype(np.float32)
        values[:2] = 10, -8
        lowest, highest = float(values.min()), float(values.max())
        low, high = mse_range(histogram_of(values), lowest, highest)

        def error(low: float, high: float) -> float:
            step = (high - low) / 255
            zero = round(-low / step)
            levels = np.clip(np.round(values / step) + zero, 0, 255)
            return float(np.mean(((levels - zero) * step - values) ** 2))

        grid = [(lowest * a, highest * b) for a in np.linspace(0.1, 1, 10) for b in np.linspace(0.1, 1, 10)]
        best = min(error(*ends) for ends in grid)
        assert error(low, high) <= 1.02 * best
        assert best < 0.9 * error(lowest, highest)  # so that the search had something to find

    def test_a_single_outlier_among_many_values_is_clipped(self) -> None:
        values = np.random.default_rng(8).uniform(0, 1, 1_000_000).astype(np.float32)
        values[0] = 40.0
        low, high = mse_range(histogram_of(values), 0.0, 40.0)
        assert low == 0.0
        assert 1.0 <= high < 30.0

    def test_few_levels_of_a_saturated_tensor_are_kept_whole(self) -> None:
        values = np.minimum(np.random.default_rng(9).exponential(4, 50_000), 6.0).astype(np.float32)
        assert mse_range(histogram_of(values), 0.0, 6.0)[1] == pytest.approx(6.0, rel=0.03)


class TestObserving:
    def test_min_max_and_moving_average_against_numpy(self) -> None:
        model = graph(("Sub", 100.0), ("Relu", 0))
        seen = [frame.astype(np.float32) - 100 for frame in frames(8)]
        table = observe_ranges(model, frames(8), calibration_digest="set")
        assert table.of("t1", "min-max") == Range(min(float(x.min()) for x in seen), max(float(x.max()) for x in seen))
        expected = np.mean([[x.min(), x.max()] for x in seen], axis=0)  # so few frames weigh the same
        average = table.of("t1", "moving-average")
        np.testing.assert_allclose((average.low, average.high), expected, rtol=1e-6)
        assert (table.frames, table.calibration_digest, table.graph_sha256) == (8, "set", graph_digest(model))
        assert set(table.ranges) == set(METHODS)

    def test_after_a_hundred_frames_the_average_moves_by_a_hundredth(self) -> None:
        flat = [np.full((*HW, 3), 10, np.uint8)] * 200 + [np.full((*HW, 3), 210, np.uint8)]
        table = observe_ranges(graph(), flat, calibration_digest="")
        assert table.of("t0", "moving-average").high == pytest.approx(10 + 200 * ranges.MOVING_AVERAGE_SHARE)

    @pytest.mark.parametrize("method", METHODS)
    def test_zero_is_in_every_range_and_no_end_beyond_what_was_seen(self, method: str) -> None:
        table = observe_ranges(graph(("Add", 50.0), ("Mul", -1.0)), frames(3), calibration_digest="")
        assert table.of("t1", method).low == 0.0
        assert 0 < table.of("t1", method).high <= table.of("t1", "min-max").high
        assert table.of("t2", method).high == 0.0
        assert table.of("t2", method).low >= table.of("t2", "min-max").low

    def test_a_tensor_that_is_always_zero_has_an_empty_range(self) -> None:
        table = observe_ranges(graph(("Mul", 0.0)), frames(2), calibration_digest="")
        assert all(table.of("t1", method) == Range(0.0, 0.0) for method in METHODS)

    def test_memory_does_not_grow_with_the_number_of_frames(self) -> None:
        model = graph(("Sub", 100.0), ("Relu", 0), ("Mul", 3.0), size_hw=(120, 160))

        def peak(count: int) -> int:
            tracemalloc.start()
            observe_ranges(model, frames(count, (120, 160)), calibration_digest="")
            _, highest = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return highest

        peak(1)  # what is loaded once
        few, many = peak(5), peak(50)
        assert many < few + 20_000  # one frame alone has 57,600 bytes, its tensors 230,400 each

    def test_tensors_fetched_in_groups_have_the_same_ranges(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = graph(("Sub", 100.0), ("Relu", 0), ("Mul", 3.0))
        at_once = observe_ranges(model, frames(3), calibration_digest="")
        monkeypatch.setattr(ranges, "_RUN_BYTES", 1)
        assert observe_ranges(model, frames(3), calibration_digest="") == at_once

    def test_a_histogram_counts_a_bounded_part_of_a_large_tensor_and_the_extremes_all_of_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ranges, "HISTOGRAM_VALUES", 100)
        spike = np.full((*HW, 3), 50, np.uint8)
        spike[7, 7] = 250
        table = observe_ranges(graph(), [spike] * 3, calibration_digest="")
        assert table.of("t0", "min-max").high == 250
        flat = np.arange(HW[0] * HW[1] * 3, dtype=np.float32)
        parts = [ranges._spread(flat, frame) for frame in range(30)]
        assert max(len(part) for part in parts) <= 100
        assert len(np.unique(np.concatenate(parts))) == flat.size  # each value has its turn
        assert len(np.unique(parts[0] % (HW[1] * 3))) > 60  # and a row's columns are all looked at

    def test_frames_of_another_size_are_brought_to_the_graphs(self) -> None:
        flat = [np.full((90, 70, 3), 33, np.uint8)]
        assert observe_ranges(graph(), flat, calibration_digest="").of("t0", "min-max") == Range(0, 33)

    def test_a_graph_for_any_size_takes_frames_as_they_are(self) -> None:
        model = graph(size_hw=(None, None))
        table = observe_ranges(
            model, [np.full((9, 7, 3), 3, np.uint8), np.full((5, 8, 3), 4, np.uint8)], calibration_digest=""
        )
        assert table.of("t0", "min-max") == Range(0, 4)

    def test_a_tensor_that_is_no_number_is_named_with_its_frame(self) -> None:
        good, bad = np.full((*HW, 3), 200, np.uint8), np.full((*HW, 3), 10, np.uint8)
        with pytest.raises(DataError, match=r"tensor t2 holds NaN or infinity on calibration frame 1\."):
            observe_ranges(graph(("Sub", 100.0), ("Log", 0)), [good, bad], calibration_digest="")
        with pytest.raises(DataError, match=r"tensor t1 holds NaN or infinity on calibration frame 0\."):
            observe_ranges(graph(("Log", 0)), [np.zeros((*HW, 3), np.uint8)], calibration_digest="")

    def test_no_frame_and_an_unknown_tensor_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="no frame to calibrate on"):
            observe_ranges(graph(), [], calibration_digest="")
        with pytest.raises(ConfigError, match="no float tensor nowhere"):
            observe_ranges(graph(), frames(1), tensors=["t0", "nowhere"], calibration_digest="")

    def test_only_the_tensors_asked_for(self) -> None:
        table = observe_ranges(graph(("Relu", 0)), frames(1), tensors=["t1"], calibration_digest="")
        assert list(table.ranges["mse"]) == ["t1"]


class TestTable:
    @pytest.fixture
    def table(self) -> RangeTable:
        return observe_ranges(graph(("Sub", 100.0)), frames(3), calibration_digest="ab")

    def test_saved_and_read_again_it_is_the_same(self, table: RangeTable, tmp_path: Path) -> None:
        table.save(tmp_path / "ranges.json")
        assert RangeTable.load(tmp_path / "ranges.json") == table

    def test_the_same_frames_give_the_same_file(self, table: RangeTable, tmp_path: Path) -> None:
        table.save(tmp_path / "one.json")
        observe_ranges(graph(("Sub", 100.0)), frames(3), calibration_digest="ab").save(tmp_path / "two.json")
        assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"schema": "edgeseg-ranges/9"}, "schema 'edgeseg-ranges/9', expected"),
            ({"tensors": {"t0": {"mse": [1.0, 2.0]}}}, "with 0 between them"),
            ({"tensors": {"t0": {"mse": [0.0]}}}, "not a whole range table"),
            ({"tensors": {"t0": {"mse": [0, 1]}, "t1": {"min-max": [0, 1]}}}, "expected mse"),
            ({"tensors": {"t0": {"mse": [-1.0, float("nan")]}}}, "finite"),
            ({"tensors": 7}, "not a whole range table"),
            ({"frames": "3"}, "whole number"),
            ({"graph_sha256": None}, "hashes as text"),
        ],
    )
    def test_a_file_that_is_none_is_told_in_one_line(
        self, table: RangeTable, tmp_path: Path, change: dict[str, object], message: str
    ) -> None:
        table.save(path := tmp_path / "ranges.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(DataError, match=message) as caught:
            RangeTable.load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"7"])
    def test_no_json(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "ranges.json").write_bytes(content)
        with pytest.raises(DataError, match=r"ranges\.json"):
            RangeTable.load(tmp_path / "ranges.json")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cannot be read"):
            RangeTable.load(tmp_path / "ranges.json")

    def test_unknown_method_and_tensor(self, table: RangeTable) -> None:
        with pytest.raises(ConfigError, match="'max' is unknown; the table has: min-max"):
            table.of("t0", "max")
        with pytest.raises(DataError, match="no tensor 'logits'"):
            table.of("logits", "mse")

    def test_the_ranges_of_another_graph_are_refused(self, table: RangeTable) -> None:
        table.check_graph(graph(("Sub", 100.0)))
        with pytest.raises(ConfigError, match="Observe them again"):
            table.check_graph(graph(("Sub", 100.5)))


def test_half_of_one_side_is_always_in_use() -> None:
    """What a bin's width is said to be at most: 1/4096 of the peak."""
    for peak in np.geomspace(1e-3, 1e3, 50):
        assert histogram_of(np.array([peak])).width <= peak / (BINS_PER_SIDE / 2)

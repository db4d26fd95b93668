"""From ONNX Runtime's trace to a table of layers."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tiny_bundle import tiny_bundle

from edgeseg.bench.profile_peak import Peak, measure_peak, peak_graph
from edgeseg.bench.profile_run import profile_bundle
from edgeseg.bench.profile_trace import Tensor, parse_trace, trace
from edgeseg.cli.main import main
from edgeseg.errors import BundleError, ConfigError, InputError

PEAK = Peak(fp32_gmacs=50.0, int8_gmacs=200.0, copy_gbytes=10.0)


def node(index: int, name: str, operator: str, us: int, inputs: list[Any], outputs: list[Any]) -> dict[str, Any]:
    args = {"op_name": operator, "node_index": str(index), "input_type_shape": inputs, "output_type_shape": outputs}
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": us, "args": args}


def run(us: int, *kernels_us: int) -> list[dict[str, Any]]:
    """One run of a cast and a convolution."""
    return [
        node(4, "cast", "Cast", kernels_us[0], [{"uint8": [1, 2, 3]}], [{"float": [1, 2, 3]}]),
        {"cat": "Node", "name": "conv_fence_before", "dur": 1, "args": {}},
        node(2, "conv", "Conv", kernels_us[1], [{"float": [1, 2, 3]}, {"float": []}], [{"float": [1, 2, 3]}]),
        {"cat": "Session", "name": "SequentialExecutor::Execute", "dur": us - 1, "args": {}},
        {"cat": "Session", "name": "model_run", "dur": us},
    ]


class TestTrace:
    def test_kernels_in_order_with_every_run_but_the_first(self) -> None:
        loading = [{"cat": "Session", "name": "model_loading_array", "dur": 9}]
        parsed = parse_trace(json.dumps(loading + run(99, 40, 50) + run(30, 12, 11) + run(40, 8, 31)), skip=1)
        assert parsed.runs_us == (30, 40)
        assert parsed.median_ms == 0.035
        cast, conv = parsed.kernels
        assert (cast.name, cast.operator, cast.index, cast.runs_us) == ("cast", "Cast", 4, (12, 8))
        assert (cast.inputs, cast.outputs) == ((Tensor("uint8", (1, 2, 3)),), (Tensor("float", (1, 2, 3)),))
        assert (conv.median_ms, conv.fastest_ms) == (0.021, 0.011)
        assert [tensor.elements for tensor in conv.inputs] == [6, 1]

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "cannot be read"),
            ("[", "cannot be read"),
            ('{"cat": 1}', "cannot be read"),
            ("[]", "0 runs of 0 kernels"),
            (json.dumps(run(9, 4, 5)), "1 runs of 2 kernels; expected more than 1"),
        ],
    )
    def test_what_is_no_trace_is_one_line(self, text: str, told: str) -> None:
        with pytest.raises(InputError, match=told) as caught:
            parse_trace(text, skip=1)
        assert "\n" not in str(caught.value)

    def test_a_graph_that_does_not_load(self) -> None:
        with pytest.raises(InputError, match=r"cannot profile road\.onnx"):
            trace(b"no graph", [{}], threads=1, name="road.onnx")


class TestPeak:
    @pytest.mark.parametrize("operator", ["MatMul", "MatMulInteger", "Neg"])
    def test_the_graphs_are_sound_onnx(self, operator: str) -> None:
        kinds: dict[str, tuple[Any, Any, Any]] = {
            "MatMul": (np.float32, np.float32, np.float32),
            "MatMulInteger": (np.uint8, np.int8, np.int32),
            "Neg": (np.float32, None, np.float32),
        }
        left, right, gives = kinds[operator]
        rng = np.random.default_rng(0)
        x = rng.integers(0, 100, (300, 5)).astype(left)
        constant = None if right is None else rng.integers(-9, 9, (5, 5)).astype(right)
        model = peak_graph(operator, x, gives, constant)
        onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
        import onnxruntime

        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {"x": x})
        expected = -x if constant is None else x.astype(np.int64) @ constant.astype(np.int64)
        assert y.dtype == gives
        assert np.array_equal(y, expected)

    def test_it_is_measured(self) -> None:
        peak = measure_peak(1, runs=2)
        assert min(peak.to_dict().values()) > 0.01


class TestProfile:
    def test_layers_of_a_bundle(self, tmp_path: Path) -> None:
        bundle = tiny_bundle(tmp_path / "a.edgeseg", (24, 32))
        profile = profile_bundle(bundle, threads=1, frames=3, peak=PEAK)
        assert [layer.operator for layer in profile.layers] == ["Cast", "ArgMax", "Cast"]
        assert (profile.precision, profile.frames, profile.frame_hw) == ("fp32", 3, (24, 32))
        assert sum(layer.share for layer in profile.layers) == pytest.approx(1)
        first = profile.layers[0]
        assert (first.shape, first.macs, first.bytes, first.of_gemm) == ((1, 24, 32, 3), 0, 5 * 24 * 32 * 3, 0)
        assert first.of_copy == pytest.approx(first.bytes / (first.fastest_ms * 1e6) / 10)
        assert 0 < profile.limit_ms <= profile.fastest_ms <= profile.kernels_ms <= profile.run_ms * 1.5
        groups = {group.title: group for group in profile.groups()}
        assert {title: group.count for title, group in groups.items()} == {"Cast": 2, "ArgMax": 1}
        assert groups["Cast"].bytes == first.bytes + profile.layers[2].bytes

    @pytest.mark.parametrize("precision", ["fp32", "int8"])
    def test_multiplications_of_an_exported_network(self, tmp_path: Path, precision: str) -> None:
        """By ONNX Runtime's own blocked and quantised kernels as many as the convolutions of the graph have."""
        from tiny_bundle import brightest_channel, noise, tiny_writer
        from tiny_int8 import residual, residual_table

        from edgeseg.quantize.dialects import quantize

        model = residual()
        if precision == "int8":
            model = quantize(model, residual_table(), dialect="cpu").model
        name = {"int8": "int8-cpu"}.get(precision, precision)
        with tiny_writer(tmp_path / "a.edgeseg", (16, 24)) as writer:
            writer.add_graph("fp32", residual().SerializeToString(), opset=20, params=0)
            if precision == "int8":
                writer.add_graph(name, model.SerializeToString(), opset=20, params=0)
            frame = noise(np.random.default_rng(0), (16, 24))
            writer.add_golden("one", frame, brightest_channel(frame))
            bundle = writer.finish(lineage={}, parity={})
        profile = profile_bundle(bundle, precision=precision, threads=1, frames=2, peak=PEAK)
        assert profile.precision == name
        pixels = 16 * 24
        # In float, channels of an output may be filled up to whole vectors of 8 (AVX2, NEON) or 16 (AVX-512).
        of_eight, of_three = ({count, -(-count // 8) * 8, -(-count // 16) * 16} for count in (8, 3))
        stem, middle, classifier = (
            {pixels * filled * taps for filled in outputs}
            for outputs, taps in ((of_eight, 3 * 9), (of_eight, 3 * 8 * 9), (of_three, 8))
        )
        assert sum(layer.macs for layer in profile.layers) in set(map(sum, product(stem, middle, classifier)))
        assert any(layer.int8 and layer.macs for layer in profile.layers) == (precision == "int8")

    def test_what_cannot_be_profiled(self, tmp_path: Path) -> None:
        bundle = tiny_bundle(tmp_path / "a.edgeseg")
        with pytest.raises(ConfigError, match="--frames 0: expected 1 or more"):
            profile_bundle(bundle, frames=0, peak=PEAK)
        with pytest.raises(ConfigError, match="threads=0"):
            profile_bundle(bundle, threads=0, peak=PEAK)
        with pytest.raises(BundleError, match="no int8-cpu graph"):
            profile_bundle(bundle, precision="int8", peak=PEAK)

    def test_the_command(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("edgeseg.bench.profile_run.measure_peak", lambda _: PEAK)
        bundle = tiny_bundle(tmp_path / "a.edgeseg")
        told = tmp_path / "profile.json"
        command = ["profile", str(bundle.path), "--frames", "2", "--threads", "1"]
        assert main([*command, "--layers", "1", "--json", str(told)]) == 0
        printed = capsys.readouterr().out
        assert "fp32, frames of 24x32, ONNX Runtime on 1 thread, 2 runs" in printed
        assert "Here at best: 50 GMAC/s in FP32, 200 in INT8, a copy 10 GB/s." in printed
        assert printed.count("1x24x32") == 1  # one layer
        report = json.loads(told.read_text())
        assert [layer["operator"] for layer in report["layers"]] == ["Cast", "ArgMax", "Cast"]
        assert report["layers"][0]["of_gemm"] is None
        assert (report["peak"]["copy_gbytes"], report["backend"]) == (10.0, "onnxruntime")
        assert main([*command, "--layers", "0"]) == 0
        assert "layer and its output" not in capsys.readouterr().out

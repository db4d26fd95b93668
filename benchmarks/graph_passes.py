"""What the rewrites of an exported graph gain, pass by pass, beside PyTorch's own export of the same network.

    python benchmarks/graph_passes.py [--size 360x480] [--threads 2] [--rounds 16] [--spinning] [NETWORK ...]

Frame to labels, FP32, ONNX Runtime on the CPU, then the same graph in INT8, calibrated on the frames of the parity
gate. The pass `give_confidence` gains nothing: it gives the second output of `edgeseg export --confidence`, and its row
is what that costs. The graphs of a network take turns of a few frames, so their ratios do not depend on what else the
machine does. The default network has its published weights, the others random ones, which does not change the time.
Every graph's labels are compared with those of PyTorch's export on the frames of the parity gate. `--spinning` lets
threads spin while they wait, as ONNX Runtime does unless told otherwise; edgeseg's loop does not. Named networks alone
are measured and printed; without a name results/graph_passes.json beside this file is written too.
"""

from __future__ import annotations

import argparse
import platform
import sys
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from in_turns import median_ms
from markdown_page import processor, table
from onnx import ModelProto

from edgeseg.files import write_json
from edgeseg.graph.contract import FRAME, LABELS, LOGITS, OPSET
from edgeseg.graph.export import PASSES, export_graph, sealed_network
from edgeseg.graph.frames import road_scenes
from edgeseg.graph.observe import Observer
from edgeseg.graph.recipe import ExportConfig, parse_size
from edgeseg.labels import CAMVID
from edgeseg.models.checkpoint import TrainedModel, default_checkpoint, load_checkpoint
from edgeseg.models.registry import ModelSpec, build_model
from edgeseg.quantize.dialects import quantize
from edgeseg.quantize.ranges import observe_ranges
from edgeseg.runtime.ort import OrtSession
from edgeseg.types import Frame

RESULTS = Path(__file__).resolve().parent / "results" / "graph_passes.json"
DEFAULT = "fcn4s_mobilenet_v2"
NETWORKS = (DEFAULT, "fcn8s_mobilenet_v2", "fcn_resnet18")
STOCK = "torch.onnx.export"

INT8 = "in INT8"


def main() -> int:
    """Measure, write, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"default: {', '.join(NETWORKS)}")
    parser.add_argument("--size", default="360x480", metavar="HxW")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--spinning", action="store_true", help="threads spin while they wait")
    args = parser.parse_args()
    size_hw = parse_size(args.size)
    frames = [scene.frame_bgr for scene in road_scenes(size_hw, size_hw)]
    networks = {}
    for name in args.networks or NETWORKS:
        print(name, file=sys.stderr)
        graphs = _graphs(_trained(name, size_hw), size_hw, frames)
        times_ms = _latency(graphs, frames[0], args.threads, args.rounds, spinning=args.spinning)
        networks[name] = {
            graph: {"latency_ms": times_ms[graph], **_difference(graphs[graph], graphs["as translated"], frames)}
            for graph in graphs
        }
    measured = {
        "size_hw": list(size_hw),
        "machine": f"{platform.machine()}, {args.threads} threads: {processor()}",
        "spinning": args.spinning,
        "networks": networks,
    }
    if not args.networks:
        write_json(RESULTS, measured)
    print(_markdown(measured))
    return 0


def _trained(name: str, size_hw: tuple[int, int]) -> TrainedModel:
    if name == DEFAULT:
        return load_checkpoint(default_checkpoint())
    return random_model(name, size_hw)


def random_model(name: str, size_hw: tuple[int, int]) -> TrainedModel:
    """A network with random weights and ordinary statistics for batch normalisation.

    Its upsampling is stirred as training would: fresh, it is bilinear, and `separate_channels` would make it cheaper
    than a trained network's.
    """
    torch.manual_seed(0)
    spec = ModelSpec(name, len(CAMVID), auxiliary=False)
    network = build_model(spec)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.ConvTranspose2d):
                module.weight.add_(1e-3 * torch.randn_like(module.weight))
        network(torch.randn(2, 3, *size_hw))
    return TrainedModel(network.eval(), spec, CAMVID, size_hw)


def _graphs(trained: TrainedModel, size_hw: tuple[int, int], frames: list[Frame]) -> dict[str, ModelProto]:
    """PyTorch's own export, ours without a pass, with one pass more each time, and in INT8."""
    config = ExportConfig(size_hw=size_hw, confidence=True)
    graphs = {STOCK: stock_graph(trained, config)}
    names = list(PASSES)
    for count in range(len(names) + 1):
        label = f"+ {names[count - 1]}" if count else "as translated"
        passes = {name: PASSES[name] for name in names[:count]}
        graphs[label] = export_graph(trained, config, passes=passes).model
    fp32 = export_graph(trained, ExportConfig(size_hw=size_hw)).model
    ranges = observe_ranges(fp32, frames, calibration_digest="")
    graphs[INT8] = quantize(fp32, ranges, dialect="cpu", method="min-max").model
    return graphs


def stock_graph(trained: TrainedModel, config: ExportConfig) -> ModelProto:
    """The sealed network as PyTorch exports it, without a rewrite of ours."""
    sealed = sealed_network(trained, config)
    height, width = sealed.preprocess.size_hw
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            sealed,
            (torch.zeros(1, height, width, 3, dtype=torch.uint8),),
            input_names=[FRAME],
            output_names=[LABELS],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _latency(
    graphs: dict[str, ModelProto], frame_bgr: Frame, threads: int, rounds: int, *, spinning: bool
) -> dict[str, float]:
    """Median milliseconds a frame, the graphs taking turns."""
    with ExitStack() as stack:
        sessions = {
            name: stack.enter_context(
                OrtSession(model.SerializeToString(), threads=threads, allow_spinning=spinning, name=name)
            )
            for name, model in graphs.items()
        }
        return median_ms(sessions, frame_bgr, rounds)


def _difference(model: ModelProto, reference: ModelProto, frames: list[Frame]) -> dict[str, Any]:
    """Pixels that get another class than from `reference`, and the largest difference of a logit."""
    named = any(LOGITS in node.output for node in model.graph.node)
    wanted = [LABELS, LOGITS] if named else [LABELS]
    observe, truth = Observer(model, wanted), Observer(reference, [LABELS, LOGITS])
    changed, largest, peak = 0, 0.0, 0.0
    for frame in frames:
        found, expected = observe(frame), truth(frame)
        changed += int(np.count_nonzero(found[LABELS] != expected[LABELS]))
        peak = max(peak, float(np.abs(expected[LOGITS]).max()))
        if named:
            largest = max(largest, float(np.abs(found[LOGITS] - expected[LOGITS]).max()))
    return {"changed_pixels": changed, "max_logit_error": largest if named else None, "largest_logit": peak}


def _markdown(measured: dict[str, Any]) -> str:
    header = ["graph", "ms", "beside PyTorch's", "pixels changed", "largest error of a logit"]
    parts = []
    for name, graphs in measured["networks"].items():
        stock = graphs[STOCK]["latency_ms"]
        rows = [
            [
                label,
                f"{row['latency_ms']:.1f}",
                f"{stock / row['latency_ms']:.2f} × as fast",
                str(row["changed_pixels"]),
                "" if row["max_logit_error"] is None else f"{row['max_logit_error']:.1e} of {row['largest_logit']:.0f}",
            ]
            for label, row in graphs.items()
        ]
        parts.append(f"`{name}`\n\n{table(header, rows)}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())

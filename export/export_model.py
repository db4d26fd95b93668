"""The whole export, step by step, on the public functions: what `edgeseg export --fp16` does, and where to step in.

    python export/export_model.py [CHECKPOINT] [--recipe export/orin_nano.toml] [--output road.edgeseg]

Copy it where the command is not enough: a pass of your own on the graph, other frames to compare on, a tighter gate.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from edgeseg.bundle import BundleWriter
from edgeseg.cli.parity import format_parity
from edgeseg.graph.contract import OPSET
from edgeseg.graph.export import export_graph
from edgeseg.graph.fp16 import convert_to_fp16
from edgeseg.graph.frames import FRAMES_FROM, road_scenes
from edgeseg.graph.observe import statistics
from edgeseg.graph.parity import measure_parity
from edgeseg.graph.recipe import ExportConfig, merge, read_recipe
from edgeseg.graph.reference import torch_labels, torch_logits
from edgeseg.models.checkpoint import load_checkpoint


def main() -> None:
    """Parse, export, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("checkpoint", nargs="?", type=Path, help="trained model; default: the default model")
    parser.add_argument("--recipe", type=Path, help="settings as TOML")
    parser.add_argument("--output", type=Path, default=Path("road.edgeseg"), help="bundle to write")
    args = parser.parse_args()

    # 1. A trained network with its classes and its preprocessing.
    trained = load_checkpoint(args.checkpoint)
    config = merge(read_recipe(args.recipe), {}) if args.recipe else ExportConfig(fp16=True)

    # 2. One sealed FP32 graph: uint8 frame in, uint8 labels out, checked. `exported.sealed` is the same in PyTorch.
    exported = export_graph(trained, config)
    camera_hw, network_hw = exported.sealed.camera_hw, exported.sealed.preprocess.size_hw
    graphs = {"fp32": exported.model}

    # 3. A strongly typed FP16 graph made from it, its weights rounded with the means of five road scenes in mind.
    scenes = road_scenes(camera_hw, network_hw)
    if config.fp16:
        seen = statistics(exported.model, [scene.frame_bgr for scene in scenes[:5]])
        half = convert_to_fp16(exported.model, seen, dynamic=config.dynamic)
        graphs["fp16"] = half.model
        for node, reason in half.kept.items():
            print(f"stays FP32: {node}: {reason}")

    # 4. The proof: logits and labels of all rungs on the same frames. Raises GateError if one is not the trained model.
    parity = measure_parity(
        graphs,
        [scene.frame_bgr for scene in scenes],
        trained.label_map,
        reference=partial(torch_logits, exported.sealed),
        frames_from=FRAMES_FROM,
    )
    print(format_parity(parity))
    parity.raise_if_failed()

    # 5. The bundle: graphs, golden frames with the trained model's labels, and the evidence. Whole, or not there.
    with BundleWriter(
        args.output,
        name=args.output.stem,
        label_map=trained.label_map,
        network_hw=network_hw,
        camera_hw=camera_hw,
        mean=trained.mean,
        std=trained.std,
    ) as writer:
        for precision, model in graphs.items():
            writer.add_graph(precision, model.SerializeToString(), opset=OPSET)
        for scene in scenes[:4]:
            writer.add_golden(scene.name, scene.frame_bgr, torch_labels(exported.sealed, scene.frame_bgr))
        bundle = writer.finish(
            lineage={"checkpoint": Path(trained.source).name, "checkpoint_sha256": trained.sha256},
            parity=parity.to_dict(),
        )
    print(f"\nbundle: {bundle.path}")


if __name__ == "__main__":
    main()

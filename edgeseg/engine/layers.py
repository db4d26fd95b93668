"""What became of each layer: the engine inspector's JSON, and which layers DLA left to the GPU."""

from __future__ import annotations

import json
from typing import Any

from edgeseg.engine.seam import Config, Network


def read_layers(text: str) -> tuple[dict[str, Any], ...]:
    """The inspector's JSON → one table a layer, `Name` always there. Text that is no such JSON gives no layers.

    With detailed profiling a layer is an object; without, only its name. The other keys are TensorRT's and differ by
    release (`Bindings` became `I/O Tensors` in 11.0).
    """
    try:
        found = json.loads(text)
    except ValueError:
        return ()
    layers = found.get("Layers") if isinstance(found, dict) else None
    if not isinstance(layers, list):
        return ()
    tables = [layer if isinstance(layer, dict) else {"Name": str(layer)} for layer in layers]
    return tuple({"Name": f"layer {index}", **table} for index, table in enumerate(tables))


def dla_fallback(network: Network, config: Config) -> tuple[str, ...]:
    """Names of the layers that DLA cannot run, in the network's order; with GPU_FALLBACK nothing else tells of them."""
    layers = (network.get_layer(index) for index in range(network.num_layers))
    return tuple(layer.name for layer in layers if not config.can_run_on_DLA(layer))

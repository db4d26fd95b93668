"""`edgeseg train RECIPE.toml`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from edgeseg.cli.output import add_json_option, write_report
from edgeseg.errors import ConfigError
from edgeseg.lazy import require
from edgeseg.video.stopping import StopFlag, stop_on_signals

INTERRUPTED = 130
"""128 + SIGINT, as shells report it; for SIGTERM too, since both end the run alike."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("EDGESEG_DATA", "data")),
        metavar="DIR",
        help="folder that the recipe's paths are relative to (default: $EDGESEG_DATA, else data)",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the run (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on from the state in the output folder")
    parser.add_argument("--epochs", type=int, metavar="N", help="another number of epochs than the recipe's")
    parser.add_argument("--workers", type=int, metavar="N", help="loader processes (changes speed, not results)")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, … (default: cuda where there is one)")
    parser.add_argument(
        "--save-every", type=float, metavar="MINUTES", help="also save the state within an epoch (default: after each)"
    )
    parser.add_argument(
        "--qat",
        action="store_true",
        help="fine-tune the recipe's finished network as its INT8 graph, a tenth as long, as NAME-qat",
    )
    parser.add_argument(
        "--start", type=Path, metavar="CHECKPOINT", help="with --qat: what to start from (default: runs/NAME's result)"
    )
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Train; exit code 0, or 130 where a signal stopped it."""
    require("torch", extra="train")
    from edgeseg.training.distributed import PeerFailed, process_group

    if args.start and not args.qat:
        raise ConfigError("--start is for --qat; a recipe says by model.pretrained what else to start from.")
    if args.save_every is not None and not args.save_every > 0:
        raise ConfigError(f"--save-every {args.save_every:g}: expected a number of minutes above 0.")
    try:
        with process_group(), stop_on_signals() as stop:
            return _train(args, stop)
    except PeerFailed as failed:
        return failed.exit_code


def _train(args: argparse.Namespace, stop: StopFlag) -> int:
    from edgeseg.training.distributed import all_or_none, process_rank
    from edgeseg.training.recipe import fine_tuning, read_recipe, with_schedule
    from edgeseg.training.trainer import Trainer

    first = process_rank() == 0
    with all_or_none():
        changes = {key: value for key in ("epochs", "workers") if (value := getattr(args, key)) is not None}
        recipe = read_recipe(args.recipe)
        if args.qat:
            recipe = fine_tuning(recipe, _start(args, recipe.name))
        recipe = with_schedule(recipe, **changes)
        output = args.output or Path("runs") / recipe.name
        if first and (output / "state.pt").exists() and not args.resume:
            raise ConfigError(
                f"{output} holds a run already. Add --resume to go on with it, or choose another --output."
            )
    save_every_s = None if args.save_every is None else 60 * args.save_every
    quantiser = None
    if recipe.quantization:
        from edgeseg.quantize.qat import QuantizationAware

        quantiser = QuantizationAware()
    trainer = Trainer(recipe, args.data, output, device=args.device, save_every_s=save_every_s, quantiser=quantiser)
    if args.resume:
        trainer.resume()
    path = trainer.run(stop)
    if path is None:
        if first:
            print("edgeseg: stopped; the same command with --resume goes on from here", file=sys.stderr)
        return INTERRUPTED
    if first:
        write_report(args, {"checkpoint": str(path), "history": trainer.history})
    return 0


def _start(args: argparse.Namespace, name: str) -> str:
    """The checkpoint to fine-tune, relative to the data folder, as recipes name files."""
    path = args.start or Path("runs") / name / f"{name}.safetensors"
    if not path.is_file():
        raise ConfigError(f"--qat: no checkpoint {path}. Train the recipe first, or name one with --start.")
    return os.path.relpath(path, args.data)

"""`edgeseg train RECIPE.toml`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from edgeseg.cli.output import add_json_option, write_report
from edgeseg.errors import ConfigError
from edgeseg.lazy import require


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
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Train; exit code 0."""
    require("torch", extra="train")
    from edgeseg.training.recipe import read_recipe
    from edgeseg.training.trainer import Trainer, with_schedule

    recipe = read_recipe(args.recipe)
    changes = {key: value for key in ("epochs", "workers") if (value := getattr(args, key)) is not None}
    recipe = with_schedule(recipe, **changes)
    output = args.output or Path("runs") / recipe.name
    if (output / "state.pt").exists() and not args.resume:
        raise ConfigError(f"{output} holds a run already. Add --resume to go on with it, or choose another --output.")
    trainer = Trainer(recipe, args.data, output, device=args.device)
    if args.resume:
        trainer.resume()
    path = trainer.run()
    write_report(args, {"checkpoint": str(path), "history": trainer.history})
    return 0

"""The training loop: recipe and data in, a checkpoint with its curves out; it can stop after any step and go on."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from edgeseg.data.loaders import Batch
from edgeseg.errors import CheckpointError, EdgesegError
from edgeseg.training import distributed
from edgeseg.training.journal import Journal
from edgeseg.training.pauses import Pause, Pauses
from edgeseg.training.prepare import prepare
from edgeseg.training.quantization import Quantiser
from edgeseg.training.recipe import Recipe
from edgeseg.training.result import write_result
from edgeseg.training.schedule import poly_with_warmup
from edgeseg.training.start import choose_device
from edgeseg.training.state import RunState, load_state, save_state
from edgeseg.training.stopping import best_row, diverged, no_longer_better

Say = Callable[[str], None]


class Trainer:
    """One run of a recipe. `data_root` is the folder that the recipe's paths are relative to.

    A recipe with [quantization] needs a `quantiser`: `edgeseg.quantize.qat.QuantizationAware()`.
    With `save_every_s` the state is also written so many seconds of `clock` after it was last, within an epoch.
    Inside `distributed.process_group` several processes make one run: only the first one writes and talks.
    """

    def __init__(
        self,
        recipe: Recipe,
        data_root: Path,
        output: Path,
        *,
        say: Say = print,
        device: str | None = None,
        save_every_s: float | None = None,
        quantiser: Quantiser | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.recipe = recipe
        self.output = output
        self._first = distributed.process_rank() == 0
        self._say = say if self._first else lambda _: None
        self._pauses = Pauses(save_every_s, clock)
        self._state = RunState()
        with distributed.all_or_none():
            run = prepare(recipe, data_root, choose_device(distributed.own_device(device)), self._say, quantiser)
        self._learner, self._batches, self._validation, self._origin = run

    def resume(self) -> None:
        """Go on from the state in the output folder, which the first process reads for all."""
        with distributed.all_or_none():
            state = load_state(self._state_path, self.recipe) if self._first else RunState()
        state = distributed.from_first(state)
        try:
            self._learner.load_state(state.tensors)
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{self._state_path}: is not a state of this network ({str(error).splitlines()[0]}). "
                "It was written by another version; choose another --output."
            ) from error
        self._state = state
        within = f" and {state.step} of {len(self._batches)} steps" if state.step else ""
        self._say(f"resumed after epoch {state.epoch} of {self.recipe.schedule.epochs}{within}")
        before, now = state.tensors["processes"], distributed.process_count()
        if before != now:
            self._say(
                f"the state is of {before} processes, this run of {now}: the same batches and dropout, but sums are "
                "rounded differently."
            )

    def run(self, stop: Callable[[], bool] = lambda: False) -> Path | None:
        """Train to the end; returns the checkpoint's path. State, history and curves are written every epoch.

        `stop` is asked before every step, and every validation frame; when it says yes on any process, the state is
        written and None returned.
        """
        with distributed.all_or_none():
            journal: AbstractContextManager[Journal | None] = nullcontext()
            if self._first:
                journal = Journal(self.output, self._state.history)
        with journal as opened:
            while not self._finished():
                row = self._epoch(stop, opened)
                if row is None:
                    self._save()
                    self._say(
                        f"stopped in epoch {self._state.epoch + 1} after {self._state.step} of {len(self._batches)} "
                        f"steps; all of it is in {self._state_path}"
                    )
                    return None
                self._end_epoch(row, opened)
        return self._write_checkpoint()

    @property
    def history(self) -> list[dict[str, float]]:
        """One row an epoch; its columns are `journal.COLUMNS`, where measured."""
        return self._state.history

    @property
    def _state_path(self) -> Path:
        return self.output / "state.pt"

    def _finished(self) -> bool:
        validation = self.recipe.validation
        patience = validation.patience if validation else None
        return self._state.epoch >= self.recipe.schedule.epochs or no_longer_better(self._state.history, patience)

    def _epoch(self, stop: Callable[[], bool], journal: Journal | None) -> dict[str, float] | None:
        """What is left of an epoch, training and validation; its row of the history, or None where it was stopped."""
        state, schedule, validation = self._state, self.recipe.schedule, self.recipe.validation
        epoch = state.epoch + 1
        if not self._train(epoch, stop):
            return None
        rate = self.recipe.optimiser.learning_rate * self._rate_factor(len(self._batches) - 1)
        row = {"epoch": epoch, "loss": state.loss_sum / len(self._batches), "learning_rate": rate}
        row |= self._learner.seen.row()
        if self._validation and validation and (epoch % validation.every == 0 or epoch == schedule.epochs):
            measured = self._validation(self._learner.average, stop, f"{self.recipe.name}, epoch {epoch}")
            if measured is None:
                return None
            row |= measured.row()
            with distributed.all_or_none():
                if journal:
                    journal.sheet(epoch, measured.sheet)
        return row

    def _train(self, epoch: int, stop: Callable[[], bool]) -> bool:
        """The steps that are left of the epoch; False where it was stopped."""
        from tqdm import tqdm

        state, steps = self._state, len(self._batches)
        self._learner.start_epoch()
        batches = self._batches.epoch(epoch, state.step)
        recent: deque[float] = deque(maxlen=20)
        with tqdm(
            desc=f"epoch {epoch}/{self.recipe.schedule.epochs}",
            total=steps,
            initial=state.step,
            leave=False,
            mininterval=5,
            disable=None if self._first else True,
        ) as bar:
            while state.step < steps:
                batch = self._next(batches, stop)
                if batch is None:
                    return False
                loss = self._learner.learn(*batch, self._rate_factor(state.step))
                if not math.isfinite(loss):
                    distributed.raise_together(diverged(loss, epoch))
                state.loss_sum += loss
                state.step += 1
                recent.append(loss)
                bar.update()
                bar.set_postfix(loss=f"{sum(recent) / len(recent):.3f}", refresh=False)
        return True

    def _next(self, batches: Iterator[Batch], stop: Callable[[], bool]) -> Batch | None:
        """The next batch, after what has to be done before it; None where a process was asked to stop."""
        batch, failure = None, None
        try:
            batch = next(batches)
        except EdgesegError as error:
            failure = error
        pause = self._pauses.agree(stop(), failure)
        if pause is Pause.SAVE:
            self._save()
        return None if pause is Pause.STOP else batch

    def _rate_factor(self, step: int) -> float:
        schedule, steps = self.recipe.schedule, len(self._batches)
        return poly_with_warmup(
            self._state.epoch * steps + step,
            total=steps * schedule.epochs,
            warmup=schedule.warmup_iterations,
            power=schedule.power,
        )

    def _end_epoch(self, row: dict[str, float], journal: Journal | None) -> None:
        state, epochs = self._state, self.recipe.schedule.epochs
        state.history.append(row)
        state.epoch, state.step, state.loss_sum = state.epoch + 1, 0, 0.0
        self._learner.seen.reset()
        if self.recipe.validation and self.recipe.validation.patience and best_row(state.history) is row:
            weights = self._learner.average.state_dict()
            state.tensors["best"] = {name: value.detach().cpu().clone() for name, value in weights.items()}
        self._save()
        with distributed.all_or_none():
            if journal:
                journal.epoch(state.history, row)
        figures = "  ".join(f"{key} {value:.4g}" for key, value in row.items() if key != "epoch")
        self._say(f"epoch {state.epoch}/{epochs}  {figures}")

    def _save(self) -> None:
        self._state.tensors |= self._learner.state()
        with distributed.all_or_none():
            if self._first:
                save_state(self._state_path, self._state, self.recipe)
        self._pauses.saved()

    def _write_checkpoint(self) -> Path:
        path = self.output / f"{self.recipe.name}.safetensors"
        row = self._state.history[-1]
        if "best" in self._state.tensors:
            row = best_row(self._state.history) or row
            self._learner.average.load_state_dict(self._state.tensors["best"])
            self._say(f"the best epoch was {row['epoch']:.0f}, mIoU {100 * row['miou']:.2f} %: its weights are kept")
        with distributed.all_or_none():
            if self._first:
                write_result(
                    path,
                    self.recipe,
                    self._learner.average,
                    self._origin,
                    row=row,
                )
        self._say(f"wrote {path}")
        return path

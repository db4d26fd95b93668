"""Two processes that a test module keeps, joined by gloo as torchrun would join them, to run its functions in both."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

COUNT = 2
_PATIENCE_S = 60


class Pair:
    """Starts the processes; a context manager that ends them. `meeting` is a file that is not there yet: no port."""

    def __init__(self, meeting: Path) -> None:
        # spawn, not fork: PyTorch's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for rank in range(COUNT):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(rank, meeting.as_uri(), there), daemon=True)
            process.start()
            self._pipes.append(here)
            self._processes.append(process)

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join(10)
            process.kill()

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """`function(*arguments)` in both processes at once; their results by rank. The function is a module's own."""
        for pipe in self._pipes:
            pipe.send((function, arguments))
        results = []
        for rank, pipe in enumerate(self._pipes):
            assert pipe.poll(_PATIENCE_S), f"process {rank} does not answer"
            failed, value = pipe.recv()
            assert not failed, value
            results.append(value)
        return results


def _serve(rank: int, meeting: str, pipe: Connection) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(COUNT), LOCAL_RANK=str(rank))
    from edgeseg.training.distributed import process_group

    with process_group(meeting):
        while (task := pipe.recv()) is not None:
            function, arguments = task
            try:
                pipe.send((False, function(*arguments)))
            except Exception:
                pipe.send((True, traceback.format_exc()))

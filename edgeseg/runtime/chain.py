"""`auto`: the fastest runtime that is here and right, and the reason for each faster one that is not.

A runtime asked for by name is opened or refused; it is never replaced. `auto` goes down `CHAIN`, and takes the first
runtime that opens and labels the bundle's first golden frame as the trained network does, within the tolerance that
`edgeseg verify` allows. Which of the two for processors is the faster depends on graph and processor: those that are
right run that frame in turns, and the faster is taken. Why the others were passed over is kept, to be shown wherever
somebody looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace

import numpy as np

from edgeseg.bundle import Bundle, GoldenFrame
from edgeseg.errors import BackendUnavailable, BundleError, ConfigError, EdgesegError
from edgeseg.runtime.session import Session, check_threads, open_session
from edgeseg.types import AUTO, graph_precision, precisions_for

CHAIN = ("tensorrt", "onnxruntime-cuda", "openvino", "onnxruntime")
"""Fastest first, but for rivals."""

RIVALS = frozenset({"openvino", "onnxruntime"})
"""Of these the trial decides; each may be the faster (docs/runtimes.md has figures)."""

_TRIAL_S = 0.4
"""After so long no further round of the trial begins. It is part of every start."""

Opener = Callable[..., Session]
"""`open_session`, or a test's."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """A runtime that was passed over."""

    backend: str
    reason: str
    """One line."""

    def to_dict(self) -> dict[str, str]:
        """Plain data for `--json`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Trial:
    """How fast a rival was when the runtime was chosen."""

    backend: str
    latency_ms: float
    """The fastest of its runs: what else the machine does makes a run slower, never faster."""

    def to_dict(self) -> dict[str, str | float]:
        """Plain data for `--json`."""
        return {"backend": self.backend, "latency_ms": round(self.latency_ms, 3)}


@dataclass(frozen=True, slots=True)
class OpenedBackend:
    """A session, the precision of its graph, and what was passed over on the way to it."""

    session: Session
    precision: str
    fallbacks: tuple[Fallback, ...] = ()
    """Those that could not be had, or were wrong."""
    trials: tuple[Trial, ...] = ()
    """The fastest first; empty where there was nothing to choose from."""


def open_backend(
    asked: str,
    bundle: Bundle,
    *,
    precision: str = "fp32",
    threads: int | None = None,
    chain: Sequence[str] = CHAIN,
    opener: Opener = open_session,
    clock: Callable[[], float] = time.perf_counter,
) -> OpenedBackend:
    """Open a bundle's graph in the runtime called `asked`, or for "auto" in the first of `chain` that is right.

    Where that is one of `RIVALS`, the others of them are opened too, and `clock` (seconds) says which is the fastest.

    Raises what the runtime raises, `BackendUnavailable` where none of the chain will do, and at once `BundleError` for
    a damaged bundle or a precision that it does not have in any form.
    """
    if asked != AUTO:
        found = graph_precision(precision, asked)
        return OpenedBackend(opener(asked, bundle, precision=found, threads=threads), found)
    check_threads(threads)
    if not any(graph_precision(precision, name) in bundle.precisions for name in chain):
        bundle.graph_path(graph_precision(precision, chain[-1]))  # says what it has
    golden = bundle.golden()[0]
    passed: list[Fallback] = []

    def right(name: str) -> OpenedBackend | None:
        """Opened and tried on the golden frame; or `None`, and why is in `passed`."""
        found = graph_precision(precision, name)
        try:
            if found not in precisions_for(name, bundle.precisions):
                here = ", ".join(precisions_for(name, bundle.precisions))
                raise BackendUnavailable(f"the bundle has no {found} graph for it, only {here}.")
            return OpenedBackend(_tried(name, bundle, found, threads, golden, opener), found)
        except (ConfigError, BundleError):
            raise
        except EdgesegError as error:
            passed.append(Fallback(name, str(error)))
            return None

    for stage in _stages(chain):
        with ExitStack() as unless_kept:
            opened = []
            for name in stage:
                one = right(name)
                if one is not None:
                    unless_kept.enter_context(one.session)
                    opened.append(one)
            if opened:
                best, trials = _fastest(opened, golden, clock)
                unless_kept.pop_all()
                for one in opened:
                    if one is not best:
                        one.session.close()
                return replace(best, fallbacks=tuple(passed), trials=trials)
    reasons = " ".join(f"{fallback.backend}: {fallback.reason}" for fallback in passed)
    raise BackendUnavailable(f"no runtime here runs {bundle.path} in {precision}. {reasons}")


def _stages(chain: Sequence[str]) -> list[list[str]]:
    """Each runtime by itself, and in the end all rivals together."""
    return [*([name] for name in chain if name not in RIVALS), [name for name in chain if name in RIVALS]]


def _fastest(
    right: Sequence[OpenedBackend], golden: GoldenFrame, clock: Callable[[], float]
) -> tuple[OpenedBackend, tuple[Trial, ...]]:
    """The session that labels the golden frame in the least time, and all their times. Each has run it once before."""
    if len(right) == 1:
        return right[0], ()
    frame = golden.frame_bgr[np.newaxis]
    best_s = [float("inf")] * len(right)
    until_s = clock() + _TRIAL_S
    while True:
        for number, opened in enumerate(right):
            began_s = clock()
            opened.session.run(frame)
            best_s[number] = min(best_s[number], clock() - began_s)
        if clock() >= until_s:
            break
    ranked = sorted(range(len(right)), key=best_s.__getitem__)
    return right[ranked[0]], tuple(Trial(right[number].session.backend, 1e3 * best_s[number]) for number in ranked)


def _tried(
    name: str, bundle: Bundle, precision: str, threads: int | None, golden: GoldenFrame, opener: Opener
) -> Session:
    """A session that has labelled the golden frame as it should."""
    session = opener(name, bundle, precision=precision, threads=threads)
    try:
        labels = session.run(golden.frame_bgr[np.newaxis])[0]
        differing = int(np.count_nonzero(labels != golden.labels))
        if differing > golden.may_differ[precision]:
            raise BackendUnavailable(
                f"it labels {differing} of {labels.size} pixels of golden frame {golden.name} unlike the trained "
                f"network; {golden.may_differ[precision]} may differ."
            )
    except BaseException:
        session.close()
        raise
    return session


def degraded_note(backend: str, fallbacks: Sequence[Fallback]) -> str | None:
    """One line that says what runs instead of what, and why; `None` where nothing was passed over."""
    if not fallbacks:
        return None
    reasons = "; ".join(f"{fallback.backend}: {fallback.reason.rstrip('.')}" for fallback in fallbacks)
    return f"running on {backend}. Not on {reasons}."

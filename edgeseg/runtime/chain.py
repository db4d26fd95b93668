"""`auto`: the fastest runtime that is here and right, and the reason for each faster one that is not.

A runtime asked for by name is opened or refused; it is never replaced. `auto` goes down `CHAIN`, and takes the first
runtime that opens and labels the bundle's first golden frame as the trained network does, within the tolerance that
`edgeseg verify` allows. Why the others were passed over is kept, to be shown wherever somebody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from edgeseg.bundle import Bundle, GoldenFrame
from edgeseg.errors import BackendUnavailable, BundleError, ConfigError, EdgesegError
from edgeseg.runtime.session import Session, check_threads, open_session
from edgeseg.types import AUTO, graph_precision, precisions_for

CHAIN = ("tensorrt", "onnxruntime-cuda", "onnxruntime")
"""Fastest first."""

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
class OpenedBackend:
    """A session, the precision of its graph, and what was passed over on the way to it."""

    session: Session
    precision: str
    fallbacks: tuple[Fallback, ...] = ()


def open_backend(
    asked: str,
    bundle: Bundle,
    *,
    precision: str = "fp32",
    threads: int | None = None,
    chain: Sequence[str] = CHAIN,
    opener: Opener = open_session,
) -> OpenedBackend:
    """Open a bundle's graph in the runtime called `asked`, or for "auto" in the first of `chain` that is right.

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
    for name in chain:
        found = graph_precision(precision, name)
        try:
            if found not in precisions_for(name, bundle.precisions):
                here = ", ".join(precisions_for(name, bundle.precisions))
                raise BackendUnavailable(f"the bundle has no {found} graph for it, only {here}.")
            return OpenedBackend(_tried(name, bundle, found, threads, golden, opener), found, tuple(passed))
        except (ConfigError, BundleError):
            raise
        except EdgesegError as error:
            passed.append(Fallback(name, str(error)))
    reasons = " ".join(f"{fallback.backend}: {fallback.reason}" for fallback in passed)
    raise BackendUnavailable(f"no runtime here runs {bundle.path} in {precision}. {reasons}")


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

"""What TensorRT says: kept, so that a failure is explained in one line instead of scrolling past."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edgeseg.engine.seam import TensorRT, base

_CAUSES = (
    ("checklinks", "a defect of TensorRT up to 10.6 with calibrated INT8; 10.7 builds it (ultralytics #24368)"),
    ("outofmemory", "memory ran out: close other programs, or give a smaller workspace_mib"),
    ("out of memory", "memory ran out: close other programs, or give a smaller workspace_mib"),
    ("could not find any implementation", "a layer fits no kernel: give more workspace_mib, or run edgeseg lint"),
    ("no kernel image", "this TensorRT has no code for this GPU: install the one made for it"),
)
"""Part of what is said, in small letters → what it means."""


@dataclass
class Log:
    """Errors and warnings of one build, in order."""

    tell: Callable[[str], None] | None = None
    """Called with each warning and error as it comes."""
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failure: BaseException | None = None
    """What `tell` raised, or KeyboardInterrupt: to be raised after the build."""

    def take(self, text: str, where: list[str]) -> None:
        """One more line; raises nothing, because an exception that reached TensorRT's C++ would end the process."""
        try:
            where.append(text)
            if self.tell is not None:
                self.tell(text)
        except BaseException as error:
            self.failure = self.failure or error

    def explain(self) -> str:
        """What the errors mean; without a known cause, the first of them, which the others follow from."""
        text = "\n".join(self.errors).lower()
        for part, cause in _CAUSES:
            if part in text:
                return cause
        return " ".join(self.errors[0].split()) if self.errors else "it gives no reason"


def make_logger(trt: TensorRT, log: Log) -> Any:
    """An `ILogger` of this module's that writes to `log`. The class is made now: its base is the module's."""
    parent = base(trt, "ILogger")
    fatal = (parent.INTERNAL_ERROR, parent.ERROR)

    class Logger(parent):  # type: ignore[misc, valid-type]
        """TensorRT calls `log`, from any thread."""

        def __init__(self) -> None:
            parent.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in fatal:
                log.take(message, log.errors)
            elif severity == parent.WARNING:
                log.take(message, log.warnings)

    return Logger()

"""Everything edgeseg raises on purpose, and the exit code that each becomes.

    EdgesegError                       what was found, what was expected, what to do next
    ├── InputError             exit 2  the caller gave something that cannot be used
    │   ├── ConfigError                a setting, a recipe or a combination of flags
    │   ├── DataError                  an image, a mask, a dataset folder
    │   ├── CheckpointError            a weights file or a training checkpoint
    │   ├── BundleError                a bundle: torn, altered, unknown schema
    │   ├── SourceError                a camera, a video, a folder of frames
    │   └── OutputError                a place that cannot be written to: no permission, no space, not a folder
    ├── GateError              exit 1  a check ran and did not hold: parity, verify
    ├── UnavailableError       exit 3  not possible on this machine: a library, a driver, a device
    │   └── BackendUnavailable         a runtime that is asked for by name
    └── CancelledError         exit 130 stopped by who asked for it

Command-line code turns an `EdgesegError` into one line on stderr and its exit code; anything else is a defect and
keeps its traceback.
"""

from __future__ import annotations


class EdgesegError(Exception):
    """Base of all deliberate errors. The message is one line for a person: found, expected, next step."""

    exit_code = 2


class InputError(EdgesegError):
    """The caller gave something that cannot be used."""


class ConfigError(InputError):
    """A setting, a recipe or a combination of flags makes no sense."""


class DataError(InputError):
    """An image, a mask or a dataset folder cannot be used."""


class CheckpointError(InputError):
    """A weights file or a training checkpoint cannot be used."""


class BundleError(InputError):
    """A bundle is missing, torn, altered or of an unknown schema."""


class SourceError(InputError):
    """A camera, video or folder cannot be read."""


class OutputError(InputError):
    """A place cannot be written to: no permission, no space, not a folder."""


class GateError(EdgesegError):
    """A check ran to its end and did not hold."""

    exit_code = 1


class UnavailableError(EdgesegError):
    """What was asked is not possible on this machine."""

    exit_code = 3


class BackendUnavailable(UnavailableError):  # noqa: N818 (the design's own name: it says what is the matter)
    """A runtime that was asked for by name is not here."""


class CancelledError(EdgesegError):
    """It was stopped by who asked for it, before it was done."""

    exit_code = 130

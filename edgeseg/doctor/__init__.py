"""What this machine has, and which commands will work on it.

host.py       the machine, as a set of questions that tests can answer
hardware.py   cuda.py   libraries.py    one function a part: Host → Finding
advice.py     the facts found → what each command lacks
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeseg.doctor.advice import COMMANDS, Obstacle
from edgeseg.doctor.cuda import find_cuda
from edgeseg.doctor.hardware import find_cameras, find_jetson, find_processor, machine_summary
from edgeseg.doctor.host import Finding, Host
from edgeseg.doctor.libraries import (
    find_live_page,
    find_onnxruntime,
    find_opencv,
    find_openvino,
    find_python,
    find_tensorrt,
    find_workstation,
)

__all__ = ["Diagnosis", "Host", "examine", "machine_summary"]


@dataclass(frozen=True)
class Diagnosis:
    """All findings by part, and for each command what it lacks."""

    findings: Mapping[str, Finding]
    commands: Mapping[str, Obstacle | None]

    @property
    def mends(self) -> list[str]:
        """What is wrong and how to mend it, a line each."""
        return [f"{found.title}: {found.mend}" for found in self.findings.values() if found.mend is not None]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **{part: dict(found.facts) for part, found in self.findings.items()},
            "mends": self.mends,
            "commands": {
                command: {
                    "works": obstacle is None,
                    "missing": None if obstacle is None else obstacle.missing,
                    "install": None if obstacle is None else obstacle.install,
                }
                for command, obstacle in self.commands.items()
            },
        }


def examine(host: Host | None = None) -> Diagnosis:
    """Look at everything; nothing is changed, and a missing part is a finding, not an error."""
    host = host or Host()
    cuda = find_cuda(host)
    findings = {
        "python": find_python(host),
        "processor": find_processor(host),
        "jetson": find_jetson(host),
        "cameras": find_cameras(host),
        "opencv": find_opencv(host),
        "onnxruntime": find_onnxruntime(host),
        "openvino": find_openvino(host),
        "cuda": cuda,
        "tensorrt": find_tensorrt(host, cuda.facts["devices"]),
        "workstation": find_workstation(host),
        "live_page": find_live_page(host),
    }
    facts = {part: found.facts for part, found in findings.items()}
    return Diagnosis(findings, {command: lacks(facts) for command, lacks in COMMANDS.items()})

"""`edgeseg doctor`: what this machine has, and which commands will work on it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edgeseg.cli.output import add_json_option, write_report

if TYPE_CHECKING:
    from edgeseg.doctor import Diagnosis


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Examine and print; returns 0, whatever is missing."""
    from edgeseg.doctor import examine

    diagnosis = examine()
    print(format_diagnosis(diagnosis))
    write_report(args, diagnosis.to_dict())
    return 0


def format_diagnosis(diagnosis: Diagnosis) -> str:
    """The parts, the commands, and what to mend."""
    lines = [f"{found.title:<14}{found.summary}" for found in diagnosis.findings.values()]
    width = max(len(command) for command in diagnosis.commands)
    lines.append("\nCommands that work here:")
    for command, obstacle in diagnosis.commands.items():
        answer = "yes" if obstacle is None else f"no    needs {obstacle.missing}: {obstacle.install}"
        lines.append(f"  edgeseg {command:<{width}}  {answer}")
    if diagnosis.mends:
        lines.append("\nTo mend:")
        lines += [f"  {mend}" for mend in diagnosis.mends]
    return "\n".join(lines)

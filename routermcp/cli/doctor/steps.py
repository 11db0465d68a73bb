"""The outcome of one step of a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..failures import ExitCode


class StepState(StrEnum):
    """How a step ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class DiagnosisStep:
    """One step of a diagnosis.

    Attributes:
        name: What was looked at.
        state: How it ended.
        found: What was found.
        advice: What to do, empty for nothing.
        code: The exit code of a diagnosis that ends here.
    """

    name: str
    state: StepState
    found: str
    advice: str = ""
    code: ExitCode = ExitCode.OK


def passed(name: str, found: str, advice: str = "") -> DiagnosisStep:
    """Return a step that is in order."""
    return DiagnosisStep(name, StepState.OK, found, advice)


def skipped(name: str, found: str) -> DiagnosisStep:
    """Return a step that does not apply."""
    return DiagnosisStep(name, StepState.SKIPPED, found)


def failed(name: str, found: str, advice: str, code: ExitCode = ExitCode.TRANSPORT) -> DiagnosisStep:
    """Return a step that ends the diagnosis."""
    return DiagnosisStep(name, StepState.FAILED, found, advice, code)

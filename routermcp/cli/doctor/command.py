"""The command ``doctor``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace

import typer

from ..._internal import ClientSettings, Options, proxy_for, resolve
from ...types import ConfigError
from ..client_commands import client_command
from ..failures import ExitCode, UsageProblem, as_options, reported
from ..options import ClientOptions, JsonOption, insecure_without_warning
from ..output import write_json, write_text
from .network import network_steps
from .session import session_steps
from .steps import DiagnosisStep, StepState, failed, passed

app = typer.Typer()

#: Milliseconds for each call of a diagnosis, unless the user gives others.
DIAGNOSIS_TIMEOUT_MS = 10_000


@client_command(app)
def doctor(*, options: ClientOptions, as_json: JsonOption = False) -> None:
    """Find out why a server cannot be used: each step on the way to it, with what to do.

    Proxy, name, connection, certificate, protocol, sign-in and lists; of a program whether it is
    found and starts. The exit code is that of the step that failed.
    """
    steps: list[DiagnosisStep] = []
    with reported(debug=options.debug):
        for step in diagnose(options):
            steps.append(step)
            if not as_json:
                _write_step(step)
    if as_json:
        write_json(
            {
                "state": "failed" if steps[-1].state is StepState.FAILED else "ok",
                "steps": [
                    {"step": each.name, "state": each.state, "found": each.found, "advice": each.advice}
                    for each in steps
                ],
            }
        )
    raise typer.Exit(steps[-1].code)


def diagnose(options: ClientOptions) -> Iterator[DiagnosisStep]:
    """Yield the steps on the way to a server; the first that fails is the last."""
    if options.timeout is None:
        options = replace(options, timeout=DIAGNOSIS_TIMEOUT_MS)
    try:
        client = options.client()
        with insecure_without_warning():
            settings = resolve(Options(**options.settings()))
    except (ConfigError, UsageProblem) as error:
        yield failed(
            "target", as_options(str(error)), "routermcp doctor -h shows the options", ExitCode.USAGE
        )
        return
    yield passed("target", settings.place)
    step: DiagnosisStep | None = None
    for step in _steps_below(options, settings):
        yield step
    if step is None or step.state is not StepState.FAILED:
        try:
            yield from session_steps(client, settings.place, http=settings.endpoint is not None)
        finally:
            client.disconnect()


def _steps_below(options: ClientOptions, settings: ClientSettings) -> Iterator[DiagnosisStep]:
    """Yield the steps below MCP."""
    if settings.endpoint is not None:
        proxy = proxy_for(settings.endpoint, settings.http.proxy)
        yield from network_steps(settings.endpoint, proxy, settings.tls)
        return
    name = options.target.command[0] if options.target is not None else ""
    found = shutil.which(name)
    if found is None:
        yield failed("program", f"{name} is not found", "is it installed, and on the PATH?")
    else:
        yield passed("program", found)


def _write_step(step: DiagnosisStep) -> None:
    state = "FAILED" if step.state is StepState.FAILED else step.state.value
    write_text(" ".join(f"{state:<8} {step.name:<10} {step.found}".split("\n")))
    if step.advice:
        write_text(f"{'':<19} -> {step.advice}")
    sys.stdout.flush()

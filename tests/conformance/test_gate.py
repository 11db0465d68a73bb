"""The gate's judgement, without the suite."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance import gate
from tests.conformance.client import OAUTH_SCENARIOS, SCENARIOS, scenario_of
from tests.three_runtimes import RUNTIMES

RUN = gate.Run("2026-07-28", "tools_call", "asyncio", 2, frozenset({"not_there"}))


def check(status: str, name: str = "name") -> dict[str, Any]:
    return {"id": "id", "name": name, "status": status}


def test_enough_successes_pass() -> None:
    checks = [check("SUCCESS"), check("SUCCESS"), check("INFO"), check("SKIPPED", "not_there")]

    assert gate.judge(RUN, 0, checks) == (2, ())


@pytest.mark.parametrize("status", ["FAILURE", "WARNING", "SKIPPED"])
def test_anything_but_success_fails(status: str) -> None:
    _, problems = gate.judge(RUN, 0, [check("SUCCESS"), check("SUCCESS"), check(status)])

    assert problems == (f"{status} id name: ",)


def test_a_client_that_does_nothing_fails() -> None:
    assert gate.judge(RUN, 0, []) == (0, ("0 checks succeeded, 2 are recorded",))


def test_the_exit_code_counts() -> None:
    _, problems = gate.judge(RUN, 7, [check("SUCCESS"), check("SUCCESS")])

    assert problems == ("the suite ended with 7",)


def test_rotation_reaches_every_scenario_and_every_runtime() -> None:
    everything = gate.select_runs("all")
    rotated = gate.select_runs("rotate")

    assert {(run.revision, run.scenario) for run in rotated} == {
        (run.revision, run.scenario) for run in everything
    }
    assert {run.runtime for run in rotated} == set(RUNTIMES)
    assert len([run for run in rotated if run.scenario == "tools_call"]) == 2 * len(RUNTIMES)
    assert rotated == gate.select_runs("rotate")


def test_the_client_knows_every_scenario() -> None:
    named = {run.scenario for run in gate.select_runs("asyncio")}

    assert {name for name in named if not name.startswith("auth/")} == SCENARIOS.keys()
    assert OAUTH_SCENARIOS.keys() < named
    assert all(scenario_of(name) is not None for name in named)

"""The judgement of the server leg, without the suite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import server_leg
from tests.conformance.server_leg import Record, Result

RECORDS = {"ping": Record(1, True, frozenset()), "extra": Record(1, False, frozenset())}


def judged(returncode: int = 0, **checks: list[str]) -> Result:
    found: dict[str, list[dict[str, Any]]] = {
        scenario: [{"id": "id", "name": "name", "status": status} for status in statuses]
        for scenario, statuses in checks.items()
    }
    return server_leg.judge_all("direct", "2026-07-28", RECORDS, returncode, found, 1.0)


def test_all_that_is_recorded_passes() -> None:
    result = judged(ping=["SUCCESS"], extra=["SUCCESS", "SUCCESS"], tasks=["FAILURE"])

    assert (result.scored, result.expected, result.successes, result.problems) == (1, 1, 3, ())


@pytest.mark.parametrize(
    ("returncode", "checks", "problem"),
    [
        (1, {"ping": ["SUCCESS"], "extra": ["SUCCESS"]}, "the suite ended with 1"),
        (0, {"ping": ["SUCCESS"]}, "extra: was not played"),
        (0, {"ping": [], "extra": ["SUCCESS"]}, "ping: 0 checks succeeded, 1 are recorded"),
        (0, {"ping": ["SUCCESS", "WARNING"], "extra": ["SUCCESS"]}, "ping: WARNING id name: "),
    ],
)
def test_anything_less_fails(returncode: int, checks: dict[str, list[str]], problem: str) -> None:
    assert judged(returncode, **checks).problems == (problem,)


def test_every_scored_scenario_is_recorded() -> None:
    scored = {
        revision: sum(record.scored for record in records.values())
        for revision, records in server_leg.read_records().items()
    }

    assert scored == {"2026-07-28": 37, "2025-11-25": 30}


def test_reports_are_found_by_the_name_of_their_scenario(tmp_path: Path) -> None:
    folder = tmp_path / "server-server-stateless-2026-11-23T17-39-04-071Z"
    folder.mkdir()
    (folder / "checks.json").write_text(json.dumps([{"status": "SUCCESS"}]))

    assert server_leg.read_checks(tmp_path) == {"server-stateless": [{"status": "SUCCESS"}]}

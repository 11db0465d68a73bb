"""The revisions as data."""

from __future__ import annotations

import pytest

from routermcp_proto.versions import LATEST, LATEST_HANDSHAKE, REVISIONS, CancelBy, Era, best_common


def test_the_revisions_are_listed_newest_first() -> None:
    assert list(REVISIONS) == ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]
    assert LATEST is REVISIONS["2026-07-28"]
    assert LATEST_HANDSHAKE is REVISIONS["2025-11-25"]


def test_what_the_specification_says_of_each() -> None:
    def those(attribute: str) -> set[str]:
        return {name for name, revision in REVISIONS.items() if getattr(revision, attribute)}

    handshake = set(REVISIONS) - {"2026-07-28"}
    assert {name for name, revision in REVISIONS.items() if revision.era is Era.HANDSHAKE} == handshake
    assert those("stamps_requests") == those("routing_headers") == {"2026-07-28"}
    assert those("version_header") == {"2026-07-28", "2025-11-25", "2025-06-18"}
    assert those("http_sessions") == those("resumable_streams") == handshake - {"2024-11-05"}
    assert those("batches") == {"2025-03-26"}
    assert those("peer_requests") == handshake
    closing = {
        name for name, revision in REVISIONS.items() if revision.http_cancel is CancelBy.CLOSING_THE_STREAM
    }
    assert closing == {"2026-07-28"}
    assert LATEST.sign_of_life == "server/discover"
    assert LATEST_HANDSHAKE.sign_of_life == "ping"


@pytest.mark.parametrize(
    ("supported", "era", "best"),
    [
        (["2025-06-18", "2026-07-28"], None, "2026-07-28"),
        (["2025-06-18", "2026-07-28"], Era.HANDSHAKE, "2025-06-18"),
        (["2025-06-18"], Era.STATELESS, None),
        (["2099-01-01"], None, None),
        ([], None, None),
    ],
)
def test_the_newest_common_revision(supported: list[str], era: Era | None, best: str | None) -> None:
    found = best_common(supported, era)
    assert (found.name if found is not None else None) == best

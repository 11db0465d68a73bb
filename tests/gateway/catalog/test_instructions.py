"""The instructions of the servers behind a gateway are those of the gateway (MCP, ``instructions``)."""

from __future__ import annotations

import pytest

from routermcp import SyncRouterMCPClient
from routermcp.gateway.catalog.instructions import MAX_OF_ALL, MAX_OF_ONE, merged_instructions
from tests.gateway.servers import ERAS, Shop, gateway


class Teller(Shop):
    """A server that says how it is to be used."""

    def __init__(self, instructions: str | None) -> None:
        super().__init__()
        self.instructions = instructions


@pytest.mark.parametrize("speaks", ERAS)
@pytest.mark.parametrize("era", ERAS)
def test_each_server_s_instructions_are_under_its_name(era: str, speaks: str) -> None:
    shops = {"files": Teller("Read before you write."), "mute": Teller(None), "mail": Teller(" Be brief. ")}
    with gateway(shops, speaks=speaks) as (url, _):
        with SyncRouterMCPClient(url) as client:
            client.list_tools()  # by then the servers were reached
        with SyncRouterMCPClient(url, protocol=era) as client:
            assert client.server is not None
            assert client.server.instructions == "# files\nRead before you write.\n\n# mail\nBe brief."


def test_instructions_are_bounded() -> None:
    long = "x" * (MAX_OF_ONE + 1)
    merged = merged_instructions([("one", long)])
    assert merged == f"# one\n{'x' * (MAX_OF_ONE - 1)}…"
    many = merged_instructions((f"s{number}", long) for number in range(100))
    assert many is not None
    assert MAX_OF_ALL - 2 * MAX_OF_ONE < len(many) <= MAX_OF_ALL
    assert merged_instructions([("a", None), ("b", " \n")]) is None

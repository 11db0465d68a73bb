"""Messages that have no answer: a server that is silent has them all the same, after a while."""

from __future__ import annotations

import pytest

from routermcp_adapters.http.context import ACCEPTANCE_SECONDS, accepted
from routermcp_adapters.http.handshake import INITIALIZED_SECONDS
from routermcp_adapters.runtimes.run_sync import run_sync
from routermcp_proto.exceptions import TransportError
from tests.adapters.rig import HANDSHAKE, Answer, Rig, event, http, says, stream_head
from tests.adapters.test_driver import QUESTION, SILENCE, TOOL, streamed

ASKED = streamed(event({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": QUESTION}))

#: A response whose head has come is done with, whatever its body does.
ACCEPTED = [
    says(http(204)),
    says(b"HTTP/1.1 202 Accepted\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"),
    says(stream_head()),
    says(http(200, b"Accepted", content_type="text/plain")),
]


@pytest.mark.parametrize("answer", ACCEPTED, ids=["204", "no body", "open stream", "text"])
def test_a_head_is_enough(answer: Answer) -> None:
    rig = Rig(HANDSHAKE, usual={"notifications/initialized": answer, "answer": answer}).connect()
    rig.answers["tools/call"] = [ASKED]
    assert rig.call(TOOL).text == "done"
    assert rig.runtime.now() == 0


@pytest.mark.parametrize(("timeout", "waits"), [(30_000, INITIALIZED_SECONDS), (3000, 1.0)])
def test_silence_after_initialized_is_waited_for_shortly(timeout: int, waits: float) -> None:
    rig = Rig(HANDSHAKE, usual={"notifications/initialized": SILENCE}).connect(timeout)
    assert rig.runtime.now() == pytest.approx(waits)
    assert rig.runtime.streams[0].closed, "its response may still come"
    assert rig.call(TOOL).text == "done"
    assert len(rig.at("notifications/initialized")) == 1


def test_silence_after_an_answer_does_not_cost_the_call() -> None:
    rig = Rig(HANDSHAKE, usual={"answer": SILENCE}).connect()
    rig.answers["tools/call"] = [ASKED]
    assert rig.call(TOOL).text == "done"
    assert rig.runtime.now() == pytest.approx(ACCEPTANCE_SECONDS)
    assert len(rig.at("answer")) == 1


def test_the_deadline_of_the_call_holds_meanwhile() -> None:
    rig = Rig(HANDSHAKE, usual={"answer": SILENCE}).connect()
    rig.answers["tools/call"] = [ASKED]
    with pytest.raises(TransportError, match="timeout=1000 ms"):
        rig.call(TOOL, 1000)
    assert rig.runtime.now() == pytest.approx(1.0)


def test_a_message_that_was_not_sent_is_an_error() -> None:
    runtime = Rig().runtime

    async def connect() -> None:
        await runtime.sleep(60)

    with pytest.raises(TransportError, match="no connection in time"):
        run_sync(accepted(runtime, connect(), lambda: False))
    assert runtime.now() == pytest.approx(ACCEPTANCE_SECONDS)

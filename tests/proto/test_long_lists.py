"""Lists that are long: counted before they are read, read in slices, refused where they have no end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from routermcp_proto import calls, jsonrpc
from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import (
    Event,
    LongListReceived,
    MessageDropped,
    ResponseReceived,
    ResponseRejected,
)
from routermcp_proto.exceptions import ResponseValidationError
from routermcp_proto.jsonrpc import Invalid, encode_response
from routermcp_proto.redaction import redacted
from routermcp_proto.server_session import ServerSession
from routermcp_proto.types import reading
from routermcp_proto.types.base import MAX_PARTS
from routermcp_proto.types.reading import ListBudget, ListLimits


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of ten tools are long, and read three at a time: each has two models."""
    monkeypatch.setattr("routermcp_proto.client_session.MAX_AT_ONCE", 18)
    monkeypatch.setattr(reading, "MAX_AT_ONCE", 18)
    monkeypatch.setattr(reading, "SLICE", 6)


def ready(protocol: str = "2025-11-25", **settings: Any) -> ClientSession:
    session = ClientSession(protocol=protocol, in_slices=True, **settings)
    first = session.start_handshake()
    about = {"capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
    result = {"protocolVersion": protocol, "supportedVersions": [protocol], **about}
    session.receive_message(encode_response(first.request_id or 0, result))
    return session


def answered(session: ClientSession, tools: list[Any], **more: Any) -> Event:
    """Answer a ``tools/list``, and return the event."""
    outgoing = session.start_request(calls.list_tools())
    (event,) = session.receive_message(encode_response(outgoing.request_id or 0, {"tools": tools, **more}))
    return event


def read(event: Event) -> tuple[int, ResponseReceived | ResponseRejected]:
    """Read a long list; return the slices and the outcome."""
    assert isinstance(event, LongListReceived)
    slices = 0
    while True:
        try:
            next(event.reading)
        except StopIteration as done:
            return slices, done.value
        slices += 1


def tools(count: int) -> list[dict[str, Any]]:
    return [{"name": f"t{number}"} for number in range(count)]


def test_a_long_list_is_read_in_slices_and_is_the_same() -> None:
    slices, outcome = read(answered(ready(), tools(10), nextCursor="c", ttlMs=5))
    assert slices == 4
    assert isinstance(outcome, ResponseReceived)
    assert outcome.value.to_wire() == {"tools": tools(10), "nextCursor": "c", "ttlMs": 5}
    assert (
        outcome.value == calls.list_tools().parse({"tools": tools(10), "nextCursor": "c", "ttlMs": 5}).value
    )


def test_a_short_list_is_there_at_once() -> None:
    outcome = answered(ready(), tools(9))
    assert isinstance(outcome, ResponseReceived)
    assert len(outcome.value.tools) == 9


def test_a_session_that_was_not_told_so_reads_a_long_list_at_once() -> None:
    session = ready()
    session._in_slices = False
    outcome = answered(session, tools(10))
    assert isinstance(outcome, ResponseReceived)
    assert len(outcome.value.tools) == 10


def test_a_bad_entry_costs_itself_in_a_long_list_too() -> None:
    entries = [*tools(5), {"title": "nameless"}, *tools(5)]
    _, outcome = read(answered(ready(), entries, nextCursor=7))
    assert isinstance(outcome, ResponseReceived)
    assert len(outcome.value.tools) == 10
    assert outcome.warnings == (
        "tools/list: left out tools[5]: name: Field required",
        "tools/list: left out nextCursor: Input should be a valid string",
    )


def test_a_long_list_of_bad_entries_is_refused_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BAD_ENTRIES", 4)
    event = answered(ready(), [{"name": ["sesame1"], "sesame1": 5}] * 10)
    _, outcome = read(redacted(event, lambda: ["malformed"]))
    assert isinstance(outcome, ResponseRejected)
    assert "more than 4 entries are ***" in str(outcome.error)
    _, outcome = read(redacted(answered(ready(), tools(10)), lambda: ["malformed"]))
    assert isinstance(outcome, ResponseReceived)


def test_tools_with_invalid_headers_are_left_out_of_each_slice_and_named_up_to_a_limit() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "object", "x-mcp-header": "A"}}}
    bad = [{"name": "b", "inputSchema": schema}] * 120
    _, outcome = read(answered(ready("2026-07-28"), [*tools(5), *bad, *tools(5)], resultType="complete"))
    assert isinstance(outcome, ResponseReceived)
    assert [tool.name for tool in outcome.value.tools] == [tool["name"] for tool in [*tools(5), *tools(5)]]
    assert len(outcome.warnings) == reading.MAX_ENTRY_WARNINGS + 1
    assert outcome.warnings[-1] == "left out 20 more tools with invalid headers"


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        (ListLimits(max_entries=10), "has more than max_list_entries=10 entries"),
        (ListLimits(max_size=100), "takes more than max_list_size=100 bytes"),
    ],
)
def test_a_list_over_its_limit_is_refused_before_it_is_read(
    limits: ListLimits, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading.ListReader, "read_slices", None)
    event = answered(ready(list_limits=limits), tools(11))
    assert isinstance(event, ResponseRejected)
    assert problem in str(event.error)
    assert "larger limit" in str(event.error)


def test_pages_of_one_list_share_its_budget() -> None:
    session = ready(list_limits=ListLimits(max_entries=5))
    call = calls.list_tools().within(session.list_budget())
    kinds: list[type[Event]] = []
    for cursor in ("a", "b"):
        call = call.at_cursor(cursor)
        outgoing = session.start_request(call)
        events = session.receive_message(encode_response(outgoing.request_id or 0, {"tools": tools(3)}))
        kinds += map(type, events)
    assert kinds == [ResponseReceived, ResponseRejected]


def test_messages_of_a_batch_share_its_bytes() -> None:
    session = ready("2025-03-26", list_limits=ListLimits(max_size=300))
    ids = [session.start_request(calls.list_tools()).request_id or 0 for _ in range(4)]
    batch = b"[%b]" % b",".join(encode_response(number, {"tools": tools(3)}) for number in ids)
    assert len(batch) > 300
    assert [type(event) for event in session.receive_message(batch)] == [ResponseReceived] * 4


@dataclass
class Page:
    """A page of a size, whose memory was counted as often as it says."""

    size: int
    bound: int = 0
    taken: int = 0
    counted: int = 0

    def memory_at_most(self) -> int:
        return self.bound

    def memory(self) -> int:
        self.counted += 1
        return self.taken


def test_a_budget_is_used_up_to_its_last_entry_and_byte() -> None:
    budget = ListBudget(ListLimits(max_entries=3, max_size=10))
    budget.take("tools/list", 3, Page(10))
    with pytest.raises(ResponseValidationError, match="entries"):
        budget.take("tools/list", 1, Page(0))


def test_a_page_is_counted_where_its_bound_takes_more_than_half_of_the_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "FREE_FOR_LIST", 1000)
    budget = ListBudget(ListLimits())
    pages = [Page(10, bound=600, taken=300), Page(10, bound=101, taken=50), Page(1, bound=601, taken=559)]
    for page in pages:
        budget.take("tools/list", 1, page)
    assert [page.counted for page in pages] == [0, 1, 1]
    with pytest.raises(ResponseValidationError, match="too many short entries"):
        budget.take("tools/list", 1, Page(0, bound=2, taken=2))


@pytest.mark.parametrize("fill", [0, 80])
def test_short_entries_are_counted_by_what_they_take(monkeypatch: pytest.MonkeyPatch, fill: int) -> None:
    monkeypatch.setattr(reading, "FREE_FOR_LIST", 2_000)
    monkeypatch.setattr(reading, "BYTES_OF_MODEL", 500)
    outcome = answered(ready(), [{**tool, "description": "x" * 3 * fill} for tool in tools(10)])
    assert isinstance(outcome, LongListReceived if fill else ResponseRejected)


def test_dear_pages_of_a_list_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FREE_FOR_LIST", 60_000)
    session = ready()
    call = calls.list_tools().within(session.list_budget())
    result = {"tools": [{"name": "a", "x": [[]] * 100}]}
    events: list[Event] = []
    for _ in range(30):
        outgoing = session.start_request(call)
        events += session.receive_message(encode_response(outgoing.request_id or 0, result))
    refused = [event for event in events if isinstance(event, ResponseRejected)]
    assert 5 < len(refused) < 25
    assert "would take more than 10 times its bytes" in str(refused[0].error)


PART = {"src": "", "name": "a"}


@pytest.mark.parametrize(
    ("call", "result", "models"),
    [
        (calls.list_tools(), {"tools": [{"name": "a"}, None]}, 4),
        (calls.list_tools(), {"tools": [{"name": "a", "icons": [PART] * 3, "annotations": {"b": 1}}]}, 6),
        (calls.list_prompts(), {"prompts": [{"name": "a", "arguments": [PART] * 5}]}, 6),
        (calls.list_resources(), {"resources": [{"name": "a", "uri": "a:b", "icons": {}}]}, 1),
        (calls.list_resources(), {"resources": None}, 0),
    ],
)
def test_parts_of_entries_are_counted(call: calls.Call[Any], result: dict[str, Any], models: int) -> None:
    reader = reading.ListReader(call.method, call.result_type, call.items or "", result)
    assert reader.models == models


def test_an_entry_of_many_parts_is_a_slice_of_its_own() -> None:
    entries = [{"name": f"t{number}", "icons": [PART] * 4} for number in range(5)]
    slices, outcome = read(answered(ready(), entries))
    assert slices == 5
    assert isinstance(outcome, ResponseReceived)
    assert outcome.value.to_wire() == {"tools": entries}


def test_a_page_that_an_application_has_is_not_changed() -> None:
    result = {"tools": tools(30)}
    assert len(calls.list_tools().parse(result).value.tools) == 30
    assert result == {"tools": tools(30)}


# ---- messages of very many objects -----------------------------------------------------------------


def count_from_40_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a message of 40 bytes take too much memory where it holds ten objects and arrays."""
    monkeypatch.setattr(jsonrpc, "MIN_COUNTED", 40)
    monkeypatch.setattr("routermcp_proto.json_memory.FREE", 0)


@pytest.mark.parametrize(
    ("text", "request_id"),
    [
        ('{"jsonrpc":"2.0","id":5,"result":%s}', 5),
        (' { "id" : 5 , "result": %s}', 5),
        ('{"result":%s,"id":5}', None),
        ('{"id":"5","result":%s}', None),
        ('{"result":{"id":5},"x":%s}', None),
    ],
)
@pytest.mark.parametrize("bombs", ["[" + "[]," * 9 + "[]]", "{" + '"a":{},' * 9 + '"b":{}}'])
def test_a_message_of_too_many_objects_is_not_decoded(
    text: str, bombs: str, request_id: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_from_40_bytes(monkeypatch)
    payload = (text % bombs).encode()
    for each in (payload, bytearray(payload), payload.decode()):
        (message,) = jsonrpc.decode(each)
        assert isinstance(message, Invalid)
        assert "more memory than 10 times its size" in message.problem
        assert message.id == request_id


@pytest.mark.parametrize("first", [True, False])
def test_the_call_that_got_too_many_objects_fails(first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    session = ready()
    count_from_40_bytes(monkeypatch)
    outgoing = session.start_request(calls.list_tools())
    message: dict[str, Any] = {"id": outgoing.request_id, "result": {"tools": [{"name": "a"}] * 10}}
    if not first:
        message = dict(reversed(message.items()))
    (event,) = session.receive_message(json.dumps(message).encode())
    if first:
        assert isinstance(event, ResponseRejected)
        assert "more memory than 10 times its size" in str(event.error)
    else:
        assert isinstance(event, MessageDropped)
        assert "more memory than 10 times its size" in event.problem


def test_a_long_message_that_is_no_json_is_not_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b'{"id":1,"result":{"a":"\\ud800"}}'
    assert not isinstance(jsonrpc.decode(text)[0], Invalid)
    monkeypatch.setattr(jsonrpc, "MAX_MENDED", len(text) - 1)
    assert isinstance(jsonrpc.decode(text)[0], Invalid)


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (calls.read_resource("a:b"), {"contents": [{"uri": "a:b", "text": "t"}] * (MAX_PARTS + 1)}),
        (calls.get_prompt("p"), {"messages": [{"role": "user", "content": {}}] * (MAX_PARTS + 1)}),
    ],
)
def test_an_answer_of_too_many_parts_is_refused(call: calls.Call[Any], result: dict[str, Any]) -> None:
    with pytest.raises(ResponseValidationError, match=f"at most {MAX_PARTS} items"):
        call.parse(result)


def test_an_entry_of_too_many_icons_keeps_none() -> None:
    parsed = calls.list_tools().parse({"tools": [{"name": "a", "icons": [{"src": ""}] * (MAX_PARTS + 1)}]})
    assert parsed.value.tools[0].icons is None


def test_a_list_that_a_server_asks_for_is_read_at_once() -> None:
    server = ServerSession(server_info={"name": "s", "version": "1"}, capabilities={})
    request_id = server._register(calls.list_tools())
    (event,) = server.receive_message(encode_response(request_id, {"tools": tools(10)}))
    assert isinstance(event, ResponseReceived)
    assert len(event.value.tools) == 10

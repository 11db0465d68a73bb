"""Whatever is done to a session, and whatever a peer sends: only the errors that are promised."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from routermcp_proto import calls
from routermcp_proto.client_session import ClientSession
from routermcp_proto.exceptions import LocalProtocolError, MCPError, RemoteProtocolError
from routermcp_proto.jsonrpc import ErrorObject, dumps
from routermcp_proto.server_session import ServerSession
from routermcp_proto.session.base import Session
from routermcp_proto.session.handshake import Refused
from routermcp_proto.states import SessionState

LIMIT = 400

IDS = st.one_of(st.integers(0, 6), st.sampled_from(["1", "x", None, True, 1.5, [], {}]))
METHODS = st.sampled_from(
    [
        "initialize",
        "server/discover",
        "ping",
        "tools/list",
        "roots/list",
        "elicitation/create",
        "notifications/progress",
        "notifications/cancelled",
        "notifications/initialized",
    ]
)
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
PARAMS = st.dictionaries(
    st.sampled_from(
        [
            "_meta",
            "protocolVersion",
            "capabilities",
            "clientInfo",
            "progressToken",
            "progress",
            "requestId",
            "supportedVersions",
            "serverInfo",
            "tools",
            "resultType",
            "inputRequests",
        ]
    ),
    st.one_of(
        JUNK, st.sampled_from(["2025-11-25", "2026-07-28", ["2026-07-28"], {"name": "s", "version": "1"}])
    ),
    max_size=5,
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "1.0", 2]),
        "id": IDS,
        "method": st.one_of(METHODS, JUNK),
        "params": st.one_of(PARAMS, JUNK),
        "result": st.one_of(PARAMS, JUNK),
        "error": st.one_of(
            st.just({"code": -32022, "message": "m", "data": {"supported": ["2025-11-25"]}}), JUNK
        ),
    },
).map(lambda message: dumps({"jsonrpc": "2.0", **message}))

RECEIVED = st.one_of(MESSAGES, st.binary(max_size=20), st.binary(min_size=LIMIT, max_size=LIMIT + 2))

Verb = Callable[[Session], Any]


def client_verbs() -> st.SearchStrategy[Verb]:
    def verb(name: str, *arguments: Any, **named: Any) -> Verb:
        return lambda session: getattr(session, name)(*arguments, **named)

    refused = Refused(ErrorObject(-32601, "no"), MCPError("no"))
    return st.sampled_from(
        [
            verb("connect"),
            verb("start_handshake", "2025-06-18"),
            verb("refuse_handshake", refused),
            verb("fail_handshake"),
            verb("expire"),
            *common_verbs(),
            verb("send_request", calls.call_tool("a"), progress=True, deadline=3.0),
            verb("send_request", calls.list_tools(), meta={"a": 1}),
        ]
    )


def common_verbs() -> list[Verb]:
    return [
        lambda session: session.send_notification("x", {"a": 1}),
        lambda session: session.send_answer(1, {}),
        lambda session: session.send_refusal(1, ErrorObject(-1, "no")),
        lambda session: session.cancel(2),
        lambda session: session.abandon(1),
        lambda session: session.handle_timer(5.0),
        lambda session: session.next_timer(),
        lambda session: session.data_to_send(),
        lambda session: session.events_received(),
        lambda session: session.receive_eof(),
        lambda session: session.close(),
    ]


def drive(session: Session, steps: list[Verb | bytes]) -> None:
    """Do these things in turn; every pending request still ends exactly once."""
    for step in steps:
        if isinstance(step, bytes):
            closed = session.state is SessionState.CLOSED
            with contextlib.suppress(LocalProtocolError if closed else RemoteProtocolError):
                session.receive_data(step + b"\n")
        else:
            with contextlib.suppress(LocalProtocolError):
                step(session)
        assert len(session.pending) == len(set(session.pending))


@given(st.lists(st.one_of(client_verbs(), RECEIVED), max_size=12), st.sampled_from(["auto", "2025-03-26"]))
def test_a_client_is_never_surprised(steps: list[Verb | bytes], protocol: str) -> None:
    drive(ClientSession(protocol=protocol, capabilities={"roots": {}}, max_message_size=LIMIT), steps)


@given(st.lists(st.one_of(st.sampled_from(common_verbs()), RECEIVED), max_size=12))
def test_a_server_is_never_surprised(steps: list[Verb | bytes]) -> None:
    info = {"name": "s", "version": "1"}
    drive(ServerSession(server_info=info, capabilities={}, max_message_size=LIMIT), steps)


@given(st.lists(RECEIVED, max_size=6), st.integers(1, 40))
def test_the_pieces_in_which_bytes_come_do_not_matter(lines: list[bytes], size: int) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    outcomes: list[tuple[Any, bytes, bool]] = []
    for step in (len(stream) or 1, size, 1):
        session = ClientSession(max_message_size=LIMIT)
        session.connect()
        broken = False
        for start in range(0, len(stream), step):
            try:
                session.receive_data(stream[start : start + step])
            except RemoteProtocolError:
                broken = True
                break
        if broken:
            outcomes.append((None, b"", True))
        else:
            outcomes.append((repr(session.events_received()), session.data_to_send(), False))
    assert outcomes[0] == outcomes[1] == outcomes[2]

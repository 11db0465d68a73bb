"""The grammar of ``_meta`` (MCP 2026-07-28, Base Protocol, "_meta"; W3C Trace Context; W3C Baggage)."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp_proto import calls
from routermcp_proto.exceptions import LocalProtocolError
from routermcp_proto.types.meta import is_key, problem_of, valid_members
from tests.proto.pair import Pair

TRACE = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"

KEYS = [
    "name",
    "a",
    "1",
    "a-b_c.d",
    "com.example/name",
    "c/n",
    "a1-b.c2/x",
    "com.example/",
    "io.modelcontextprotocol/x",
]
NO_KEYS = [
    "-a",
    "a-",
    "a b",
    "of the server",
    "/a",
    "com..example/a",
    "1com/a",
    "com-/a",
    "a/b/c",
    "ü",
    "a\n",
    "x" * 600,
]

MEMBERS: list[tuple[str, Any]] = [
    ("traceparent", TRACE),
    ("traceparent", f"cc{TRACE[2:]}-what-the-future-has"),
    ("tracestate", ""),
    ("tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
    ("tracestate", "fw529a3039@dt=FfAAAAAA , a/b=c d"),
    ("baggage", "userId=alice,serverNode=DF%2028,isProduction=false"),
    ("baggage", "key1 = value1;property1;p2 = v , key2=value2"),
    ("other", {"traceparent": "no"}),
]

WRONG: list[tuple[str, Any]] = [
    ("traceparent", None),
    ("traceparent", ""),
    ("traceparent", TRACE.upper()),
    ("traceparent", TRACE[:-1]),
    ("traceparent", f"{TRACE}-more"),
    ("traceparent", f"ff{TRACE[2:]}"),
    ("traceparent", f"00-{'0' * 32}-00f067aa0ba902b7-01"),
    ("traceparent", f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01"),
    ("traceparent", f"01{TRACE[2:]}-{'x' * 600}"),
    ("traceparent", f"{TRACE}\n"),
    ("tracestate", "UPPER=1"),
    ("tracestate", "a=1,b"),
    ("tracestate", ",".join(f"k{n}=1" for n in range(33))),
    ("tracestate", "a=" + "b" * 300),
    ("tracestate", "," * 9000),
    ("baggage", ""),
    ("baggage", "a"),
    ("baggage", "a=b c"),
    ("baggage", "a=b;c d"),
    ("baggage", "a=" + "b" * 9000),
    ("a b", 1),
]


@pytest.mark.parametrize("key", KEYS)
def test_keys(key: str) -> None:
    assert is_key(key)
    assert is_key(key, prefixed=True) is ("/" in key)


@pytest.mark.parametrize("key", NO_KEYS)
def test_texts_that_are_no_keys(key: str) -> None:
    assert not is_key(key)


@pytest.mark.parametrize(("key", "value"), MEMBERS)
def test_members(key: str, value: Any) -> None:
    assert problem_of(key, value) is None


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_members_that_break_the_grammar(key: str, value: Any) -> None:
    assert problem_of(key, value) is not None
    assert valid_members({"kept": 1, key: value}) == {"kept": 1}


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"a b": 1}, "'a b' is no valid key"),
        ({"traceparent": "1"}, "W3C Trace Context"),
        ({"baggage": 5}, "W3C Baggage"),
    ],
)
def test_a_call_with_wrong_meta_is_refused_before_it_is_sent(meta: dict[str, Any], words: str) -> None:
    for protocol in ("2025-11-25", "2026-07-28"):
        pair = Pair(protocol)
        pair.connect()
        with pytest.raises(LocalProtocolError, match=words):
            pair.client.start_request(calls.list_tools(), meta=meta)
        assert pair.client.pending == ()
        assert (
            b"0af7651916cd43dd"
            in pair.client.start_request(calls.list_tools(), meta={"traceparent": TRACE}).payload
        )

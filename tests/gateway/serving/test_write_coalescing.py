"""What the gateway writes in one turn of the event loop leaves in one piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from routermcp.gateway.serving.write_coalescing import MAX_GATHERED, CoalescingTransport


class UpstreamSession(asyncio.Transport):
    """Notes what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Note what would be sent."""
        self.log.append(bytes(data))

    def write_eof(self) -> None:
        """Note it."""
        self.log.append("eof")

    def close(self) -> None:
        """Note it."""
        self.log.append("close")

    def abort(self) -> None:
        """Note it."""
        self.log.append("abort")

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return "close" in self.log or "abort" in self.log

    def get_write_buffer_size(self) -> int:
        """Nothing is kept here."""
        return 0


def run(act: Callable[[CoalescingTransport], object], turns: int = 1) -> list[bytes | str]:
    """Do something in one turn of an event loop, and return what has left some turns later."""

    async def main() -> list[bytes | str]:
        wire = UpstreamSession()
        act(CoalescingTransport(wire, asyncio.get_running_loop()))
        for _ in range(turns):
            await asyncio.sleep(0)
        return list(wire.log)  # as it is now, with the loop's last turn to come

    return asyncio.run(main())


def test_head_and_body_leave_together() -> None:
    assert run(lambda out: (out.write(b"head"), out.write(b"body"))) == [b"headbody"]
    assert run(lambda out: out.writelines([b"head", b"body"])) == [b"headbody"]


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


def test_a_response_leaves_at_once_when_its_body_has_begun() -> None:
    assert run(lambda out: (out.write(HEAD), out.write(b"body")), turns=0) == [HEAD + b"body"]
    assert run(lambda out: (out.write(HEAD), out.write(b"")), turns=0) == [HEAD]


def test_a_head_waits_for_its_body_however_many_turns_that_takes() -> None:
    assert run(lambda out: out.write(HEAD), turns=3) == []
    assert run(lambda out: (out.write(HEAD), out.flush()), turns=0) == [HEAD]
    assert run(lambda out: (out.write(HEAD), out.close()), turns=0) == [HEAD, "close"]


def test_the_pieces_of_a_stream_that_are_written_in_one_turn_leave_together() -> None:
    def stream(out: CoalescingTransport) -> None:
        for piece in (HEAD, b"one", b"two", b"three"):
            out.write(piece)

    assert run(stream) == [HEAD + b"one", b"twothree"]


def test_an_interim_response_does_not_wait_for_the_one_that_follows() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert run(lambda out: out.write(interim)) == [interim]


def test_nothing_leaves_before_the_turn_ends() -> None:
    assert run(lambda out: out.write(b"head"), turns=0) == []


def test_the_next_turn_has_a_write_of_its_own() -> None:
    async def main() -> list[bytes | str]:
        wire = UpstreamSession()
        out = CoalescingTransport(wire, asyncio.get_running_loop())
        for part in (b"one", b"two"):
            out.write(part)
            await asyncio.sleep(0)
        return wire.log

    assert asyncio.run(main()) == [b"one", b"two"]


def test_much_leaves_at_once_so_that_the_writer_is_told_to_wait() -> None:
    much = b"x" * (MAX_GATHERED + 1)
    assert run(lambda out: (out.write(much), out.write(b"y")), turns=0) == [much]


def test_what_waits_counts_as_unsent() -> None:
    sizes: list[int] = []
    run(lambda out: (out.write(b"head"), sizes.append(out.get_write_buffer_size())))
    assert sizes == [4]


@pytest.mark.parametrize(("end", "word"), [("close", "close"), ("write_eof", "eof")])
def test_an_orderly_end_comes_after_what_was_written(end: str, word: str) -> None:
    assert run(lambda out: (out.write(b"last words"), getattr(out, end)())) == [b"last words", word]


def test_an_abort_drops_what_waits() -> None:
    assert run(lambda out: (out.write(b"last words"), out.abort())) == ["abort"]


def test_what_is_written_to_a_client_that_has_gone_is_dropped() -> None:
    """uvloop raises where a closed transport is written to, and the error would fill the log."""
    assert run(lambda out: (out.write(b"head"), out.abort(), out.write(b"body"))) == ["abort"]
    assert run(lambda out: (out.write(b"head"), out.close(), out.write(b"body"))) == [b"head", "close"]

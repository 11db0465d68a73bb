"""Heads of requests: validated once, written by hand.

Source: RFC 9110, section 5 (https://www.rfc-editor.org/rfc/rfc9110#section-5)
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import field
from urllib.parse import parse_qsl

from ..exceptions import LocalProtocolError
from ..names import HTTP_TOKEN
from ..redaction import HIDDEN, is_secret
from ..value_class import value_class

# Visible ASCII, with spaces and tabs inside but not at either end; empty is a value too.
_VALUE = re.compile(rb"(?:[!-~](?:[ \t!-~]*[!-~])?)?")

#: Bytes of an invalid name that an error shows.
MAX_NAME_SHOWN = 80

#: Headers of the protocol name a session or repeat arguments, which are no credentials: logs hide those
#: that look like secrets, but an error may quote a server's message about them.
_OF_PROTOCOL = b"mcp-"

_BETWEEN = re.compile(r"[,\s]+")

Pair = tuple[bytes, bytes]


class HeaderBlock:
    """Well-formed headers of a request, in order.

    Args:
        pairs: Names and values; a str has to be ASCII.

    Raises:
        LocalProtocolError: A name or a value is not allowed in HTTP. The message names the
            header and never shows its value.
    """

    __slots__ = ("raw",)

    raw: bytes
    """The lines, each with its end, as they are sent."""

    def __init__(self, pairs: Iterable[tuple[str | bytes, str | bytes]] = ()) -> None:
        self.raw = b"".join([b"%b: %b\r\n" % _checked_header(name, value) for name, value in pairs])

    @classmethod
    def of_checked(cls, raw: bytes) -> HeaderBlock:
        """Build a block from lines that are known to be well-formed, each with its line end."""
        block = cls.__new__(cls)
        block.raw = raw
        return block

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Names and values, in order."""
        lines = self.raw.split(b"\r\n")[:-1]
        return tuple((name, value) for name, _, value in (line.partition(b": ") for line in lines))

    def __add__(self, other: HeaderBlock) -> HeaderBlock:
        """Return a block with the headers of both; nothing is checked again."""
        return HeaderBlock.of_checked(self.raw + other.raw)

    def get(self, name: str | bytes) -> bytes | None:
        """Return the first value of that name, in any case, or None."""
        wanted = (name.encode("ascii", "replace") if isinstance(name, str) else name).lower()
        return next((value for key, value in self.pairs if key.lower() == wanted), None)

    def names(self) -> tuple[bytes, ...]:
        """Return the names in lower case."""
        return tuple(name.lower() for name, _ in self.pairs)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name.decode()}: {_shown_value(name, value)}" for name, value in self.pairs)
        return f"<HeaderBlock {shown}>"


def _shown_value(name: bytes, value: bytes) -> str:
    low = name.lower()
    return HIDDEN if low == b"mcp-session-id" or is_secret(low.decode()) else value.decode("ascii")


def _secrets_in(name: bytes, value: str) -> Iterator[str]:
    """Yield the parts of a secret header's value that a server could repeat."""
    yield value
    if name == b"cookie":
        yield from (pair.partition("=")[2].strip('"') for pair in value.split(";"))
        return
    scheme, _, credentials = value.partition(" ")
    yield credentials
    yield from (part.partition("=")[2].strip('"') for part in _BETWEEN.split(credentials))
    if scheme.lower() == "basic":
        try:
            password = base64.b64decode(credentials).partition(b":")[2]
        except binascii.Error:
            return
        yield from (password.decode("utf-8", "replace"), password.decode("latin-1"))


def fits_header(text: str) -> bool:
    """Return whether a text of a peer can be the value of a header."""
    return _VALUE.fullmatch(text.encode("utf-8", "surrogatepass")) is not None


def _checked_header(name: str | bytes, value: str | bytes) -> Pair:
    if not isinstance(name, str | bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise LocalProtocolError(f"the name of a header is text, not {type(name).__name__}")
    if not isinstance(value, str | bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise LocalProtocolError(f"the value of the header {name!r} is text, not {type(value).__name__}")
    # Half of a surrogate pair has to become bytes that the patterns refuse, too.
    raw_name = name.encode("utf-8", "surrogatepass") if isinstance(name, str) else name
    raw_value = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    if not HTTP_TOKEN.fullmatch(raw_name):
        # A whole line that is given as a name has its value after the colon.
        shown = raw_name.partition(b":")[0][:MAX_NAME_SHOWN].decode("ascii", "backslashreplace")
        raise LocalProtocolError(f"{shown!r} is not the name of a header")
    if not _VALUE.fullmatch(raw_value):
        raise LocalProtocolError(
            f"the value of the header {raw_name.decode()!r} may have visible ASCII characters, with spaces "
            "only between them: no line breaks, no spaces at the ends, no other alphabets"
        )
    return raw_name, raw_value


@value_class
class HTTPRequest:
    """A request that is ready to be sent."""

    method: bytes
    target: bytes = field(repr=False)
    """Path and query, which may hold a key."""
    headers: HeaderBlock
    """With ``Host``, and ``Content-Length`` where there is a body."""
    body: bytes = field(default=b"", repr=False)
    private: bool = False
    """Whether the body must not be logged."""

    def secrets(self) -> tuple[str, ...]:
        """Return the secrets that it sends: values of headers, of the URL and of a form."""
        found: list[str] = []
        for name, value in self.headers.pairs:
            if is_secret(name.decode()) and not name.lower().startswith(_OF_PROTOCOL):
                found += _secrets_in(name.lower(), value.decode("ascii", "replace"))
        form = self.body if self.private and not self.body.startswith(b"{") else b""
        for pairs in (self.target.partition(b"?")[2], form):
            for name, value in parse_qsl(pairs.decode("latin-1")):
                if is_secret(name):
                    found.append(value)
        return tuple(found)

    def to_bytes(self) -> bytes:
        """Return head and body as one piece, so that one send carries both."""
        return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (self.method, self.target, self.headers.raw, self.body)

"""The names under which clients know the tools and prompts of the servers behind the gateway.

A name is the server's alias, a separator and the name at the server. A name that is too long, that
has characters which the clients refuse, or that another server's entry could have too, ends with a
digest instead: the same in every process, and never that of another entry.

Sources: MCP 2026-07-28, "Tool Names" (1 to 128 characters); the interfaces of language models, which
take ``^[a-zA-Z0-9_-]{1,64}$``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

#: Hexadecimal digits of a digest: with 64 bits no server finds a name that gives the same one as
#: a given name of another.
DIGEST_DIGITS = 16

#: Characters of the longest name by default: the most that MCP recommends.
MAX_NAME = 128

#: Characters of the longest name that the interfaces of language models take.
MAX_PORTABLE_NAME = 64

#: The alias of the gateway's own tools, which no server has.
GATEWAY_ALIAS = "routermcp"

_UNPORTABLE = re.compile(r"[^A-Za-z0-9_-]")
_DIGESTED = re.compile(r"_[0-9a-f]{16}\Z")


@dataclass(frozen=True, slots=True)
class Naming:
    """How names are made.

    Attributes:
        separator: Stands between the alias and the name at the server.
        max_length: Characters of the longest name.
        portable: Whether names have letters, digits, ``_`` and ``-`` only.
    """

    separator: str = "."
    max_length: int = MAX_NAME
    portable: bool = False

    def name(self, alias: str, own: str) -> str:
        """Return the name of an entry.

        Args:
            alias: The server that has it.
            own: Its name there.
        """
        joined = f"{alias}{self.separator}{own}"
        # An alias that holds the separator begins like another alias and its separator.
        unique = joined.find(self.separator) == len(alias) and not _DIGESTED.search(own)
        return self._fitted(joined, f"{alias}\0{own}", unique=unique)

    def distinct(self, alias: str, own: str) -> Iterator[str]:
        """Yield other names of an entry, where another one has its name: the second is of no other entry."""
        yield self.name(alias, own)
        yield self._fitted(f"{alias}{self.separator}{own}", f"{alias}\0{own}", unique=False)

    def unprefixed(self, own: str) -> str:
        """Return the name of an entry of a server whose names have no alias here, such as a gateway's."""
        alias, dot, rest = own.partition(".")
        if self.portable and dot and alias and rest and not _UNPORTABLE.search(alias):
            return self.name(alias, rest)
        return self._fitted(own, own, unique=True) if self.portable else own

    def _fitted(self, name: str, whole: str, *, unique: bool) -> str:
        fitted = _UNPORTABLE.sub("_", name) if self.portable else name
        if unique and fitted == name and len(name) <= self.max_length:
            return name
        return f"{fitted[: self.max_length - DIGEST_DIGITS - 1]}_{_digest(whole)}"


def distinct_uris(alias: str, uri: str) -> Iterator[str]:
    """Yield URIs of a resource whose URI another server's has: with the server in the scheme.

    A scheme has letters, digits, ``+``, ``-`` and ``.``, and its case does not count (RFC 3986, 3.1).
    """
    server = f"server-{alias}" if not alias[0].isalpha() else alias
    server = server.lower().replace("_", "-")
    yield f"{server}+{uri}"
    yield f"{server}-{_digest(alias)}+{uri}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_DIGITS]


DOTTED = Naming()
"""The names of the hosted gateway."""

PORTABLE = Naming("__", MAX_PORTABLE_NAME, portable=True)
"""Names that every host takes."""

SPELLINGS = (DOTTED, PORTABLE)
"""The names that are understood in calls beside those that are listed."""

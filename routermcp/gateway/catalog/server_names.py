"""The names of one server's tools and prompts here, and the names at the server that they mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..names import DOTTED, SPELLINGS, Naming


@dataclass(frozen=True, slots=True)
class ServerNaming:
    """How a server's tools and prompts are called.

    Attributes:
        alias: The name of the server here.
        naming: How names are made.
        prefix: Stands before them, the alias for most; empty for names without one.
        renames: Other names of tools, by the names at the server.
        descriptions: Other descriptions of tools, by the names at the server.
    """

    alias: str
    naming: Naming = DOTTED
    prefix: str = ""
    renames: Mapping[str, str] = field(default_factory=dict[str, str])
    descriptions: Mapping[str, str] = field(default_factory=dict[str, str])

    def name(self, own: str, *, tool: bool) -> str:
        """Return the name here of an entry.

        Args:
            own: Its name at the server.
            tool: Whether it is a tool.
        """
        named = self.renames.get(own, own) if tool else own
        return self.naming.name(self.prefix, named) if self.prefix else self.naming.unprefixed(named)

    def reserved(self, own: str) -> bool:
        """Return whether a tool's own name is given to another one here."""
        return own not in self.renames and own in self.renames.values()

    def spellings(self, own: str, *, tool: bool) -> tuple[str, ...]:
        """Return other names under which an entry is found: the two usual ones, and those with the alias."""
        named = self.renames.get(own, own) if tool else own
        pairs = dict.fromkeys(((self.prefix or self.alias, named), (self.alias, own)))
        names = (naming.name(prefix, each) for naming in SPELLINGS for prefix, each in pairs)
        here = self.name(own, tool=tool)
        return tuple(dict.fromkeys(name for name in names if name != here))

    def own_name(self, name: str, *, tool: bool) -> str | None:
        """Return the name at the server that a name here would mean, None for another server's.

        Args:
            name: The name that a client gave; the server need not have it.
            tool: Whether it is a tool's.
        """
        if not self.prefix:
            return self._original(name) if tool else name
        for naming in (self.naming, *SPELLINGS):
            for prefix in dict.fromkeys((self.prefix, self.alias)):
                own = name.removeprefix(prefix + naming.separator)
                if own != name:
                    return self._original(own) if tool else own
        return None

    def distinct(self, own: str) -> Iterator[str]:
        """Yield names of an entry whose name another server's entry has."""
        return self.naming.distinct(self.alias, own)

    def _original(self, named: str) -> str:
        return next((own for own, name in self.renames.items() if name == named), named)

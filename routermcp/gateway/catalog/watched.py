"""Watched resources whose URI here is another one than at their server."""

from __future__ import annotations

from collections.abc import Iterator


class RenamedResources:
    """The resources with another URI here that clients watch, by server and URI there.

    As many as :class:`~..dispatch.subscriptions.Subscriptions` has subscriptions, at most.
    """

    def __init__(self) -> None:
        self._here: dict[tuple[str, str], str] = {}

    def add(self, alias: str, own: str, here: str) -> None:
        """Take note of a resource that is watched under another URI."""
        self._here[alias, own] = here

    def discard(self, here: str) -> tuple[str, str] | None:
        """Forget a resource; return its server and the URI there, None where it has no other URI."""
        known = next((key for key, uri in self._here.items() if uri == here), None)
        if known is not None:
            del self._here[known]
        return known

    def changed(self, alias: str, own: str) -> Iterator[str]:
        """Yield the URIs here of a resource that a server says has changed, or of one that it is part of."""
        for (server, watched), here in self._here.items():
            if server == alias and (own == watched or own.startswith(f"{watched.rstrip('/')}/")):
                yield here + own.removeprefix(watched)

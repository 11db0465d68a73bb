"""Identity and capabilities of client and server: ``initialize`` and ``server/discover``.

Source: https://modelcontextprotocol.io/specification/2026-07-28/server/discover and
https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from ..names import SERVER_INFO_KEY
from .base import CacheableResult, EmptyForNull, Icons, Lenient, Meta, Strings, WireModel


def _read_capability(value: Any) -> Any:
    """Read ``[]`` (an empty object as PHP encodes it) and ``true`` as ``{}``, ``false`` as absent."""
    if value == [] or value is True:
        return {}
    return None if value is False else value


Capability = Annotated[dict[str, Any] | None, BeforeValidator(_read_capability), Lenient()]


class Implementation(WireModel):
    """Name and version of a client or a server."""

    name: Annotated[str, Lenient(str)] = ""
    version: Annotated[str, Lenient(str)] = ""
    title: str | None = None
    description: str | None = None
    websiteUrl: str | None = None
    icons: Icons = None


def _unnamed_implementation() -> Implementation:
    return Implementation(name="", version="")


class ListCapability(WireModel):
    """A list that one side offers.

    Attributes:
        listChanged: Whether it sends notifications of changes of the list.
    """

    listChanged: Annotated[bool | None, Lenient()] = None


class ResourcesCapability(ListCapability):
    """The resources that a server offers.

    Attributes:
        subscribe: Whether clients may subscribe to changes of single resources.
    """

    subscribe: Annotated[bool | None, Lenient()] = None


_List = Annotated[ListCapability | None, BeforeValidator(_read_capability), Lenient()]
_Resources = Annotated[ResourcesCapability | None, BeforeValidator(_read_capability), Lenient()]


class ClientCapabilities(WireModel):
    """The capabilities of a client; None means not supported."""

    experimental: Capability = None
    roots: _List = None
    sampling: Capability = None
    elicitation: Capability = None
    tasks: Capability = None
    extensions: Capability = None


class ServerCapabilities(WireModel):
    """The capabilities of a server; None means not supported."""

    experimental: Capability = None
    logging: Capability = None
    completions: Capability = None
    prompts: _List = None
    resources: _Resources = None
    tools: _List = None
    tasks: Capability = None
    extensions: Capability = None


class InitializeResult(WireModel):
    """A server's answer to ``initialize`` (2024-11-05 to 2025-11-25).

    Attributes:
        protocolVersion: The revision that the server chose.
        instructions: Directions for using the server, written for a language model.
    """

    protocolVersion: str
    capabilities: Annotated[ServerCapabilities, Lenient(ServerCapabilities)] = Field(
        default_factory=ServerCapabilities
    )
    serverInfo: Annotated[Implementation, Lenient(_unnamed_implementation)] = Field(
        default_factory=_unnamed_implementation
    )
    instructions: str | None = None
    meta: Meta = None


class DiscoverResult(CacheableResult):
    """A server's answer to ``server/discover`` (2026-07-28 on).

    Attributes:
        supportedVersions: The revisions that the server speaks, in any order.
        instructions: Directions for using the server, written for a language model.
    """

    supportedVersions: Annotated[Strings, EmptyForNull]
    capabilities: Annotated[ServerCapabilities, Lenient(ServerCapabilities)] = Field(
        default_factory=ServerCapabilities
    )
    instructions: str | None = None

    @property
    def server_info(self) -> Implementation | None:
        """The server's name and version, from ``_meta`` or from the body; None if it gave none."""
        for members in (self.meta, self.model_extra):
            for key in (SERVER_INFO_KEY, "serverInfo"):
                try:
                    return Implementation.model_validate((members or {})[key])
                except (KeyError, ValidationError):
                    continue
        return None

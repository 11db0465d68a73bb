"""Access to the gateway: the keys of clients, and the servers and entries that a key or a project opens."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, Self, cast

from pydantic import model_validator

from .errors import problem
from .filters import Filter
from .types import Alias, ConfigModel, Slug, Texts, Token


class EntrySettings(ConfigModel):
    """Which tools, resources and prompts are let through, by name or URI."""

    allowedTools: Texts = ()
    denyTools: Texts = ()
    allowedToolsGlob: Texts = ()
    denyToolsGlob: Texts = ()
    allowedResources: Texts = ()
    denyResources: Texts = ()
    allowedResourcesGlob: Texts = ()
    denyResourcesGlob: Texts = ()
    allowedPrompts: Texts = ()
    denyPrompts: Texts = ()
    allowedPromptsGlob: Texts = ()
    denyPromptsGlob: Texts = ()

    @cached_property
    def tools(self) -> Filter:
        """Which tools are let through."""
        return Filter(self.allowedTools, self.denyTools, self.allowedToolsGlob, self.denyToolsGlob)

    @cached_property
    def resources(self) -> Filter:
        """Which resources are let through, by URI."""
        return Filter(
            self.allowedResources, self.denyResources, self.allowedResourcesGlob, self.denyResourcesGlob
        )

    @cached_property
    def prompts(self) -> Filter:
        """Which prompts are let through."""
        return Filter(self.allowedPrompts, self.denyPrompts, self.allowedPromptsGlob, self.denyPromptsGlob)


class ViewSettings(EntrySettings):
    """A part of the gateway; tools and prompts are named ``{alias}.{name at the server}`` in it."""

    servers: tuple[Alias, ...] | None = None
    """Aliases of the servers in it, None for all of them."""

    @property
    def limited(self) -> bool:
        """Whether it is less than the whole gateway."""
        return any(getattr(self, name) not in (None, ()) for name in ViewSettings.model_fields)


class ProjectSettings(ViewSettings):
    """A project: what is seen at ``/v1/mcp/{project}``."""


class APIKeySettings(ViewSettings):
    """A key that clients of the gateway show, and what they see with it."""

    key: Token
    user: bool = False
    """Whether a client with this key may name the user of a request."""
    projects: tuple[Slug, ...] | None = None
    """The projects that it opens, None for all of them."""

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, value: object) -> object:
        return {"key": value} if isinstance(value, str) else value


class AuthSettings(ConfigModel):
    """Access to the gateway: free, or with an API key."""

    mode: Literal["none", "api_key"] = "none"
    """``api_key`` where keys are given and nothing else is said."""
    apiKeys: tuple[APIKeySettings, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _choose_mode(cls, value: object) -> object:
        if isinstance(value, Mapping) and "mode" not in value and "apiKeys" in value:
            return {**cast("Mapping[str, Any]", value), "mode": "api_key"}
        return cast("object", value)

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if self.mode == "api_key" and not self.apiKeys:
            raise problem("expected at least one key, as mode is 'api_key'", "apiKeys")
        seen: dict[str, int] = {}
        for index, each in enumerate(self.apiKeys):
            first = seen.setdefault(each.key.get_secret_value(), index)
            if first != index:
                raise problem(f"the same key as apiKeys[{first}]: take one away", "apiKeys", index)
        return self

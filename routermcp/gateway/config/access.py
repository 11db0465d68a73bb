"""Access to the gateway: the keys that clients show, and what each of them opens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, cast

from pydantic import model_validator

from .errors import problem
from .types import ConfigModel, Slug, Token
from .views import ViewSettings


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

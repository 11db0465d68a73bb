"""The page of ``routermcp.jsonc``: the keys of each part, from the models that read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from routermcp.gateway.config import access, listening, model, oauth
from routermcp.gateway.config.schema import config_schema

from .markdown import table

INTRODUCTION = """# Configuration of the gateway

The keys of `routermcp.jsonc`, part by part; [The local gateway](../gateway.md#configuration) has an example
and the forms of other programs. `routermcp config schema` writes the same as a JSON Schema for editors, and
`routermcp config check` tests a file. A number or a boolean may be a variable, `${env:NAME}`.

The keys for filters are `allowedTools`, `denyTools`, `allowedToolsGlob` and `denyToolsGlob`, and the same
with `Resources` and `Prompts`: lists of names or globs.
"""

#: Where a part stands in the file, and its model.
PARTS: dict[str, type[BaseModel]] = {
    "the file": model.GatewayConfig,
    "httpServer": listening.HTTPServerSettings,
    "session": model.SessionSettings,
    "auth": access.AuthSettings,
    "auth.apiKeys[]": access.APIKeySettings,
    "auth.jwt": access.JWTSettings,
    "projects.NAME": access.ProjectSettings,
    "rateLimit": listening.RateLimitSettings,
    "names": model.Names,
    "log": model.LogSettings,
    "oauth": oauth.OAuthSettings,
    "mcpServers.NAME, a program": model.StdioServer,
    "mcpServers.NAME, over HTTP": model.HTTPServer,
    "mcpServers.NAME.oauth": oauth.ServerOAuth,
}

_FILTERS = ("Tools", "Resources", "Prompts", "Glob")
_PARTS_OF = {part.__name__: place for place, part in PARTS.items()}


def _kind(schema: dict[str, Any]) -> str:
    """Return the kind of a value in words."""
    if "$ref" in schema:
        return "object"
    if "anyOf" in schema:
        kinds = [_kind(each) for each in schema["anyOf"] if "pattern" not in each]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind != "null"))
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if schema.get("type") == "array":
        items = _kind(schema["items"])
        return f"list of {items}s" if items.isalpha() else f"list of {items}"
    return str(schema.get("type", "object"))


def _default(part: type[BaseModel], key: str) -> str:
    field = part.model_fields.get(key)
    if field is None or field.is_required():
        return "required" if field is not None else ""
    plain = isinstance(field.default, str | int | float) and field.default != ""
    return f"`{json.dumps(field.default)}`" if plain else ""


def _keys(part: type[BaseModel], schema: dict[str, Any]) -> Iterator[list[str]]:
    filters = False
    for key, value in schema["properties"].items():
        if key.startswith(("allowed", "deny")) and key.endswith(_FILTERS):
            filters = True
            continue
        meaning = value.get("description", "").replace("None", "null").replace("False", "false")
        yield [f"`{key}`", _kind(value), _default(part, key), meaning]
    if filters:
        yield ["filters", "list of strings", "", "What is seen of it."]


def configuration_page() -> str:
    """Return the page."""
    schema = config_schema()
    parts = {**schema["$defs"], model.GatewayConfig.__name__: schema}
    text = INTRODUCTION
    for place, part in PARTS.items():
        found = parts[part.__name__]
        found = next((each for each in found.get("anyOf", ()) if "properties" in each), found)
        heading = "The file" if part is model.GatewayConfig else f"`{place}`"
        keys = table(("key", "kind", "default", "meaning"), _keys(part, found))
        text += f"\n## {heading}\n\n{found['description'].replace('``', '`')}\n\n{keys}"
    return text

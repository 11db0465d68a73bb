"""The keys of a configuration: comments, unknown keys, refused keys."""

from __future__ import annotations

import difflib
import json
from collections.abc import Container, Iterable, Iterator
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel

from .access import APIKeySettings, JWTSettings, ProjectSettings
from .errors import MAX_KEY_SHOWN, KeyPath, Problems
from .model import GatewayConfig, HTTPServer, StdioServer
from .oauth import ServerOAuth

#: Warnings about keys of one file: the first ones show the mistake.
MAX_CONFIG_WARNINGS = 20

#: The models of the members that are objects of settings, by their names.
_SECTIONS: dict[str, type[BaseModel]] = {
    name: model
    for name, field in GatewayConfig.model_fields.items()
    if get_origin(field.annotation) is not dict  # its keys are names
    for model in (field.annotation, *get_args(field.annotation))
    if isinstance(model, type) and issubclass(model, BaseModel)
}

#: Keys of servers that only files have; the models have ``transport`` and ``enabled``.
FILE_KEYS = ("type", "disabled", "envFile")

#: Objects whose keys the user makes up: names of variables and headers.
_FREE = ("env", "headers")

_REFUSED = "codeMode"


class ParsedObject(dict[str, Any]):
    """An object of the file, with the keys that it has more than once."""

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        super().__init__()
        self.repeated: list[str] = []
        for written_key, value in pairs:
            key = joined(written_key)
            if key in self:
                self.repeated.append(key)
            self[key] = value


def joined(text: str) -> str:
    """Return a text with its surrogate pairs as one character each.

    JSON writes characters beyond U+FFFF as two escapes (RFC 8259, section 7), and JSON5's
    reader leaves the two halves apart.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def without_comment_keys(value: Any, path: KeyPath, problems: Problems) -> Any:
    """Return a value of the file without keys that are comments: ``//...`` and ``$schema``.

    Keys that an object has twice are problems.
    """
    if isinstance(value, str):
        return joined(value)
    if isinstance(value, ParsedObject):
        for key in value.repeated:
            if not _is_comment(key):
                problems.add((*path, key), "this key is there twice: take one away")
        return {
            key: without_comment_keys(each, (*path, key), problems)
            for key, each in value.items()
            if not _is_comment(key)
        }
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [without_comment_keys(each, (*path, index), problems) for index, each in enumerate(items)]
    return value


def _is_comment(key: str) -> bool:
    return key.startswith("//") or key == "$schema"


def refuse_code_mode(value: Any, path: KeyPath, problems: Problems) -> None:
    """Call ``codeMode`` a problem, wherever it is a key of the configuration's own."""
    if isinstance(value, list):
        for index, each in enumerate(cast("list[Any]", value)):
            refuse_code_mode(each, (*path, index), problems)
    if not isinstance(value, dict):
        return
    for key, each in cast("dict[str, Any]", value).items():
        if key == _REFUSED and _object_members(each).get("enabled") is False:
            continue  # what it asks for is that there is none
        if key == _REFUSED and path != ("mcpServers",):
            problems.add((*path, key), "codeMode is not supported: take it away")
        elif not (key in _FREE and path[:1] == ("mcpServers",) and len(path) == 2):
            refuse_code_mode(each, (*path, key), problems)


def warn_of_unknown_keys(config: dict[str, Any], problems: Problems) -> None:
    """Note the keys that have no effect."""
    found = list(_unknown_keys(config))
    for path, text in found[:MAX_CONFIG_WARNINGS]:
        problems.warn(path, text)
    if len(found) > MAX_CONFIG_WARNINGS:
        problems.warn((), f"and {len(found) - MAX_CONFIG_WARNINGS} more unknown keys")


def _unknown_keys(config: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    yield from _unknown_members(config, _model_keys(GatewayConfig), ())
    for name, model in _SECTIONS.items():
        yield from _unknown_members(config.get(name), _model_keys(model), (name,))
    servers, projects = _object_members(config.get("mcpServers")), _object_members(config.get("projects"))
    slugs = [*projects, config.get("project", "default")]
    for path, model, value in _credentials(_object_members(config.get("auth"))):
        yield from _unknown_members(value, _model_keys(model), path)
        yield from _unknown_names(value, "servers", servers, path)
        yield from _unknown_names(value, "projects", slugs, path)
    for slug, project in projects.items():
        yield from _unknown_members(project, _model_keys(ProjectSettings), ("projects", slug))
        yield from _unknown_names(project, "servers", servers, ("projects", slug))
    for alias, server in servers.items():
        yield from _unknown_in_server(server, ("mcpServers", alias))


def _credentials(auth: dict[str, Any]) -> Iterator[tuple[KeyPath, type[BaseModel], Any]]:
    """Yield what opens the gateway: where it stands, its model, and its members."""
    for index, key in enumerate(_array_items(auth.get("apiKeys"))):
        yield ("auth", "apiKeys", index), APIKeySettings, key
    yield ("auth", "jwt"), JWTSettings, auth.get("jwt")


def _unknown_names(
    value: Any, member: str, known: Container[str], path: KeyPath
) -> Iterator[tuple[KeyPath, str]]:
    """Yield warnings about names in a list that mean nothing: nothing is seen by them."""
    for index, name in enumerate(_array_items(_object_members(value).get(member))):
        if isinstance(name, str) and name not in known:
            yield (*path, member, index), f"names none of the {member} of this file: nothing is seen by it"


def _unknown_in_server(server: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    stdio, http = _model_keys(StdioServer), _model_keys(HTTPServer)
    yield from _unknown_members(server, [*stdio, *http, *FILE_KEYS], path)
    members = _object_members(server)
    yield from _unknown_members(members.get("oauth"), _model_keys(ServerOAuth), (*path, "oauth"))
    if ("command" in members) == ("url" in members):
        return
    useful, kind = (stdio, "a process") if "command" in members else (http, "a server over HTTP")
    for key in members:
        if key in stdio + http and key not in useful:
            yield (*path, key), f"no effect for {kind}: take it away"


def _unknown_members(value: Any, known: list[str], path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    for key in _object_members(value):
        if key in known or key == _REFUSED:
            continue
        near = difflib.get_close_matches(key[:MAX_KEY_SHOWN].lower(), known, n=1)
        advice = f"did you mean {json.dumps(near[0])}?" if near else "take it away"
        yield (*path, key), f"not a key that the gateway knows; {advice}"


def _model_keys(model: type[BaseModel]) -> list[str]:
    return list(model.model_fields)


def _object_members(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _array_items(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []

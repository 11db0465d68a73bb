"""The capabilities that a client declares: those of its callbacks, and those that its application names.

Source: https://modelcontextprotocol.io/specification/2026-07-28/schema, ``ClientCapabilities``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from routermcp_proto.exceptions import ConfigError
from routermcp_proto.types.meta import is_key

from ._options import Options

#: The members of each capability that a callback stands behind.
_MEMBERS: Mapping[str, frozenset[str]] = {
    "elicitation": frozenset({"form", "url"}),
    "sampling": frozenset({"tools", "context"}),
    "roots": frozenset({"listChanged"}),
}

#: Capabilities whose members are the application's own.
_OPEN = ("extensions", "experimental")


def declared_by(options: Options) -> dict[str, Any]:
    """Return the ``ClientCapabilities`` of a client, as they go on the wire.

    Raises:
        ConfigError: The application names a capability that the client cannot have.
    """
    declared = _of_callbacks(options)
    given: Mapping[str, Any] = (
        {} if options.capabilities is None else _mapping("capabilities", options.capabilities)
    )
    for name, value in given.items():
        members = _mapping(f"capabilities[{name!r}]", value)
        _check(name, members, declared)
        declared[name] = dict(members)
    return declared


def _mapping(what: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{what} is a mapping, not {type(value).__name__}")
    return cast("Mapping[str, Any]", value)


def _of_callbacks(options: Options) -> dict[str, Any]:
    declared: dict[str, Any] = {}
    if options.on_roots is not None:
        declared["roots"] = {"listChanged": True}
    if options.on_sampling is not None:
        declared["sampling"] = {}
    if options.on_elicitation is not None:
        declared["elicitation"] = {"form": {}, "url": {}}
    elif options.on_authorization is not None:
        declared["elicitation"] = {"url": {}}
    return declared


def _check(name: str, members: Mapping[str, Any], answered: Mapping[str, Any]) -> None:
    """Check one capability that the application names.

    Raises:
        ConfigError: The client cannot have it.
    """
    known = _MEMBERS.get(name)
    if known is None:
        if name not in _OPEN:
            names = ", ".join((*_MEMBERS, *_OPEN))
            raise ConfigError(f"capabilities has no {name!r}: a client can declare {names}")
        wrong = [each for each in members if name == "extensions" and not is_key(each, prefixed=True)]
        if wrong:
            raise ConfigError(f"{wrong[0]!r} is no identifier of an extension, such as com.example/name")
        return
    if name not in answered:
        raise ConfigError(f"capabilities declares {name}: give on_{name}= too, which answers the server")
    strange = [each for each in members if each not in known]
    if strange:
        raise ConfigError(f"capabilities[{name!r}] has no {strange[0]!r}, but {', '.join(sorted(known))}")
    if name == "elicitation" and "form" in (members or ("form",)) and "form" not in answered[name]:
        raise ConfigError("capabilities declares forms: give on_elicitation= too, which answers them")

"""Settings of :class:`~routermcp.oauth.OAuthConfig` as people write them: on the command line, in files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from routermcp_proto.exceptions import ConfigError
from routermcp_proto.oauth.metadata import CONCESSIONS, AuthorizationServer

from . import presets

#: The concession that comes with a value: the other issuer.
_WITH_VALUE = "metadata_issuer"

#: A setting as messages of the library name it, and its value.
_SETTING = re.compile(r"OAuthConfig\((?:issuer=AuthorizationServer\()?[^()]*?(\w+)=([^(),]*)[^()]*\)+")
_NO_WAY = re.compile(r", and OAuthConfig [^;]*")

#: Settings that are added to those of a preset, one by one.
_ADDED = ("authorize_params", "token_params")


def settings_of(
    preset: str | None, given: Mapping[str, Any], server: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return settings of ``OAuthConfig``: those of a preset, and what is given in their place.

    Args:
        preset: A preset, as :func:`~routermcp.oauth.presets.named` takes it; None for none.
        given: Settings by name; those that are None are left to the preset.
        server: Members of :class:`~routermcp.oauth.AuthorizationServer`, such as the concessions to it;
            they are for the one that the settings name.

    Raises:
        ConfigError: There is no such preset, or no authorization server that ``server`` is about.
    """
    settings: dict[str, Any] = dict(presets.named(preset)) if preset is not None else {}
    for name, value in given.items():
        if value is not None:
            settings[name] = {**settings.get(name, {}), **value} if name in _ADDED else value
    members = {name: value for name, value in (server or {}).items() if value is not None}
    if members:
        issuer: str | AuthorizationServer | None = settings.get("issuer")
        if issuer is None:
            raise ConfigError(
                f"{', '.join(members)} is for one authorization server: say which, by its issuer"
            )
        known = AuthorizationServer(issuer) if isinstance(issuer, str) else issuer
        settings["issuer"] = replace(known, **members)
    return settings


def concessions_of(texts: Iterable[str]) -> dict[str, Any]:
    """Return concessions as members of :class:`~routermcp.oauth.AuthorizationServer`.

    Args:
        texts: ``unadvertised_pkce``, ``plain_http``, ``private_address``, or ``metadata_issuer=URL``.

    Raises:
        ConfigError: There is no such concession, or its value is missing.
    """
    conceded: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in CONCESSIONS:
            raise ConfigError(f"there is no concession {name!r}; there are {', '.join(CONCESSIONS)}")
        if bool(value) != (name == _WITH_VALUE):
            raise ConfigError(f"the concession {name} is given as {_written(name)}")
        conceded[name] = value or True
    return conceded


def _written(name: str) -> str:
    return f"{name}=URL" if name == _WITH_VALUE else name


def in_other_words(
    problem: str, phrases: Iterable[tuple[str, str]], setting: Callable[[str, str], str]
) -> str:
    """Return a message of the library for people who write no Python.

    Args:
        problem: The message.
        phrases: What the library says of its settings, and what to say instead.
        setting: Returns what stands for a setting of ``OAuthConfig``, by its name and its value.
    """
    for said, instead in phrases:
        problem = problem.replace(said, instead)
    return _SETTING.sub(lambda found: setting(found[1], found[2].strip("'")), _NO_WAY.sub("", problem))

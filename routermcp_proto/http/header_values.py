"""Values of tool parameters as HTTP headers: written by a client, read by a server.

:mod:`routermcp_proto.types.parameter_headers` finds the parameters that a tool declares.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http,
"Custom Headers from Tool Parameters" and "Value Encoding".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, cast

from ..exceptions import LocalProtocolError, RemoteProtocolError
from ..types.parameter_headers import ParameterHeader

#: The largest integer that JavaScript represents exactly.
MAX_SAFE_INTEGER = 2**53 - 1

_PLAIN = re.compile(r"(?:[!-~](?:[ \t!-~]*[!-~])?)?")
_PREFIX, _SUFFIX = "=?base64?", "?="


def parameter_headers(
    declared: tuple[ParameterHeader, ...], arguments: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return the headers for one call; a value that is null, absent or not primitive has none.

    Raises:
        LocalProtocolError: An integer is too large to be mirrored.
    """
    headers: list[tuple[str, str]] = []
    for parameter in declared:
        value: Any = arguments
        for name in parameter.path:
            value = cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else None
        text = _parameter_text(parameter, value)
        if text is not None:
            headers.append((parameter.header, encode_header_value(text)))
    return headers


def _parameter_text(parameter: ParameterHeader, value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int):
        return None
    if abs(value) > MAX_SAFE_INTEGER:
        where = ".".join(parameter.path)
        raise LocalProtocolError(f"{where} is sent as a header too and must not exceed {MAX_SAFE_INTEGER}")
    return str(value)


def encode_header_value(value: str) -> str:
    """Return a value in the form for a header: unchanged, or as marked base64.

    Raises:
        LocalProtocolError: It contains half of a surrogate pair.
    """
    if _PLAIN.fullmatch(value) and not (value.startswith(_PREFIX) and value.endswith(_SUFFIX)):
        return value
    try:
        return _PREFIX + base64.b64encode(value.encode()).decode("ascii") + _SUFFIX
    except UnicodeEncodeError as error:
        raise LocalProtocolError("a value contains half of a surrogate pair") from error


def decode_header_value(value: str) -> str:
    """Return the value that :func:`encode_header_value` encoded.

    Raises:
        RemoteProtocolError: The base64 or the UTF-8 in it is malformed.
    """
    marked = value.startswith(_PREFIX) and value.endswith(_SUFFIX)
    if not marked or len(value) < len(_PREFIX + _SUFFIX):
        return value
    try:
        return base64.b64decode(value[len(_PREFIX) : -len(_SUFFIX)], validate=True).decode()
    except ValueError as error:
        raise RemoteProtocolError("a header value is marked as base64 and is not") from error


def is_visible(text: str) -> bool:
    """Say whether a text has visible ASCII characters only, and at least one."""
    return bool(text) and all("!" <= character <= "~" for character in text)

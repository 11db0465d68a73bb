"""The file of a recording: JSON Lines, a header and then one message a line.

::

    {"format": "routermcp-recording", "version": 1, "protocol": "2025-11-25"}
    {"session": 1, "sent": {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {...}}}
    {"session": 1, "received": {"jsonrpc": "2.0", "id": 2, "result": {...}}}
    {"session": 1, "refused": {"id": 3, "status": 502, "body": "...", "retryAfter": null}}

Sessions are numbered by their first message. Headers of HTTP are no part of a message, so they are not
there. What is written is redacted: known secrets of the client wherever they occur, and texts under the
name of a secret.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from routermcp_proto.exceptions import MCPError
from routermcp_proto.redaction import HIDDEN, MAX_TEXT, is_secret, without

FORMAT = "routermcp-recording"

#: The version of the format; another one is refused.
FORMAT_VERSION = 1

#: What became of a message: the client sent or received it, or its request was answered with an HTTP error.
MESSAGE_KINDS = ("sent", "received", "refused")

#: Names that look like those of secrets and are none in a message of MCP: the token of progress reports,
#: and codes, of errors or currencies. Codes of OAuth travel in no message.
_NO_SECRETS = frozenset({"progressToken", "code"})

#: Begins the names under which a client says something about itself with each request of the stateless era.
_ABOUT_THE_CLIENT = "io.modelcontextprotocol/"


class RecordingError(MCPError):
    """A recording is missing, cannot be read, or does not fit what the client did."""


class ReplayMismatchError(RecordingError):
    """A client asked for something else than was recorded, or not for all of it."""


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """A line of a recording."""

    line: int
    """Its number in the file."""
    session: int
    kind: str
    """One of :data:`MESSAGE_KINDS`."""
    message: dict[str, Any]


def header_line(protocol: str) -> str:
    """Return the first line of a recording.

    Args:
        protocol: The revision of MCP that the first session agreed on.
    """
    return json.dumps({"format": FORMAT, "version": FORMAT_VERSION, "protocol": protocol}) + "\n"


def message_line(session: int, kind: str, message: Any) -> str:
    """Return the line of a message."""
    return json.dumps({"session": session, kind: message}, ensure_ascii=False) + "\n"


def read_recording(path: Path) -> Iterator[RecordedMessage]:
    """Yield the messages of a recording.

    Raises:
        RecordingError: The file is missing, or is no recording of this version.
    """
    try:
        lines = path.read_text("utf-8", "surrogatepass").split("\n")
    except FileNotFoundError as error:
        raise RecordingError(
            f"there is no recording {path}; record it with mode='new' (pytest: --mcp-record=new)"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"the recording {path} cannot be read: {error}") from error
    header = _object(lines[0])
    if header.get("format") != FORMAT:
        raise RecordingError(f"{path} is no recording of routermcp: its first line has no format {FORMAT!r}")
    if header.get("version") != FORMAT_VERSION:
        raise RecordingError(
            f"{path} has version {header.get('version')!r} of the format, where {FORMAT_VERSION} is read; "
            "record it anew with mode='all'"
        )
    for number, line in enumerate(lines[1:], 2):
        if line.strip():
            yield _message_in(line, number, path)


def _message_in(line: str, number: int, path: Path) -> RecordedMessage:
    entry = _object(line)
    session = entry.get("session")
    for kind in MESSAGE_KINDS:
        message = entry.get(kind)
        if isinstance(session, int) and isinstance(message, dict):
            return RecordedMessage(number, session, kind, cast("dict[str, Any]", message))
    raise RecordingError(
        f"{path}, line {number}: no object with session and one of {', '.join(MESSAGE_KINDS)}"
    )


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def params_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request or notification."""
    params = message.get("params")
    return cast("dict[str, Any]", params) if isinstance(params, dict) else {}


def without_client_info(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request without what the client says about itself, which is no part of what it asks."""
    params = params_of(message)
    meta = params.get("_meta")
    if not isinstance(meta, dict):
        return dict(message)
    kept = {
        key: value
        for key, value in cast("dict[str, Any]", meta).items()
        if not key.startswith(_ABOUT_THE_CLIENT)
    }
    return {**message, "params": {**params, "_meta": kept}}


def redacted_message(value: Any, secrets: Sequence[str], public: Collection[str], name: str = "") -> Any:
    """Return a message, or a part of one, as a recording may keep it.

    JSON in a text, as many tools return it, is redacted too.

    Args:
        value: The part.
        secrets: Secrets of the client.
        public: Names whose values are kept, whatever they look like.
        name: The name under which the part stands.
    """
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return {key: redacted_message(part, secrets, public, key) for key, part in members}
    if isinstance(value, list):
        return [redacted_message(part, secrets, public, name) for part in cast("list[Any]", value)]
    if not isinstance(value, str) or not value:
        return value
    if name not in _NO_SECRETS and name not in public and is_secret(name):
        return HIDDEN
    return _redacted_text(value, secrets, public)


def _redacted_text(text: str, secrets: Sequence[str], public: Collection[str]) -> str:
    if text.lstrip()[:1] in ("{", "["):
        try:
            held = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            redacted = redacted_message(held, (), public)
            if redacted != held:
                text = json.dumps(redacted, ensure_ascii=False)
    if len(text) <= MAX_TEXT:
        return without(text, secrets)
    # Other notations are searched within bounds, and the rest would be cut off there.
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text

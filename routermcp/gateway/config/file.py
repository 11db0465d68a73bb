"""Reads ``routermcp.jsonc``: JSON with comments and trailing commas.

The reader is that of JSON5, which has both and takes everything that JSON is. Files for
Claude, ``{"mcpServers": {...}}``, are read as they are.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import json5
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from routermcp.types import ConfigError

from .dialects import own_form, with_env_files
from .errors import KeyPath, Problems
from .interpolation import Substitution
from .keys import ParsedObject, refuse_code_mode, warn_of_unknown_keys, without_comment_keys
from .model import GatewayConfig, says_enabled

#: Bytes of the largest file. Hundreds of servers fit; the reader, written in Python, takes
#: some seconds for as much.
MAX_FILE_BYTES = 256 * 1024

#: Where :func:`find` looks, below the folder it starts in.
NAMES = ("routermcp.jsonc", "routermcp.json")

#: Where it looks last, below the home folder.
HOME_NAME = Path(".routermcp") / "routermcp.jsonc"

#: Folders of a workspace in which editors keep its configuration.
EDITOR_FOLDERS = (".vscode", ".cursor", ".gemini")

# Characters that an error may show: the others could be a part of a secret.
_PUNCTUATION = "{}[]:,\"'/*"

_logger = logging.getLogger("routermcp.gateway")


def find(start: Path | None = None) -> Path | None:
    """Return the configuration that is used where none is named.

    Args:
        start: The folder to look in first, None for the current one.

    Returns:
        ``routermcp.jsonc`` or ``routermcp.json`` there, else ``~/.routermcp/routermcp.jsonc``;
        None where there is none of them.
    """
    folder = Path.cwd() if start is None else start
    places = [folder / name for name in NAMES]
    # Path.home raises where there is none.
    home = os.path.expanduser("~")
    if home != "~":
        places.append(Path(home) / HOME_NAME)
    return next((place for place in places if place.is_file()), None)


def load(
    path: Path | str, *, environ: Mapping[str, str] | None = None, tolerant: bool = False, quiet: bool = False
) -> GatewayConfig:
    """Read a file.

    Args:
        path: Where it is.
        environ: The variables for its values, None for those of this process.
        tolerant: Read what other programs write, and leave a server out, with a warning, where
            something in it is wrong.
        quiet: Do not tell what has no effect in it.

    Raises:
        ConfigError: The file cannot be read, or is wrong; the text names the places, and holds
            no secret.
    """
    variables = os.environ if environ is None else environ
    folder = Path(os.path.realpath(path)).parent  # Path.resolve fails for links in a circle
    known = {**workspace_variables(folder), **variables}
    text = read_text(path)
    return parse(text, source=str(path), environ=known, folder=folder if tolerant else None, quiet=quiet)


def read_text(path: Path | str) -> str:
    """Read the text of a file.

    Raises:
        ConfigError: It cannot be read, is too long, or is not UTF-8.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: the configuration cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: longer than {MAX_FILE_BYTES} bytes, the most for a configuration")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        # The error holds the whole file.
        raise ConfigError(f"{path}:{line}: not UTF-8, which configurations are written in") from None


def check_is_file(path: Path) -> None:
    """Check that what is to be read is a file: opening a pipe would wait for its other end, for ever.

    Raises:
        ConfigError: It is there, and no file.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ConfigError(f"{path}: the configuration cannot be read: it is no file")


def workspace_variables(folder: Path) -> dict[str, str]:
    """Return the variables that editors know beside those of the environment.

    Args:
        folder: Where the file is.
    """
    # As editors have it, which keep their configuration in a folder of the workspace.
    workspace = folder.parent if folder.name in EDITOR_FOLDERS else folder
    return {
        "workspaceFolder": str(workspace),
        "workspaceFolderBasename": workspace.name,
        "userHome": os.path.expanduser("~"),
        "pathSeparator": os.sep,
        "/": os.sep,
    }


def parse(
    text: str, *, source: str, environ: Mapping[str, str], folder: Path | None = None, quiet: bool = False
) -> GatewayConfig:
    """Read the text of a configuration.

    Keys without effect are told to the logger ``routermcp.gateway``.

    Args:
        text: JSON with comments and trailing commas.
        source: The text's name, for errors.
        environ: The variables for its values.
        folder: Where the file is, to read it as tolerantly as :func:`load` can; None to read it
            strictly.
        quiet: Do not tell them.

    Raises:
        ConfigError: As for :func:`load`.
    """
    problems = Problems(source)
    config = parse_into(problems, text, environ=environ, folder=folder)
    for finding in () if quiet else problems.noted:
        _logger.warning("%s: %s", source, finding)
    # Only now: an error raised earlier would be chained to pydantic's, which holds the values.
    problems.check()
    return cast("GatewayConfig", config)


def parse_into(
    problems: Problems, text: str, *, environ: Mapping[str, str], folder: Path | None
) -> GatewayConfig | None:
    """Read the text of a configuration, and note what there is to say about it.

    Args:
        problems: Takes it.
        text: As for :func:`parse`.
        environ: As for :func:`parse`.
        folder: As for :func:`parse`.

    Returns:
        The configuration, None where a problem costs all of it.

    Raises:
        ConfigError: The text is not JSON, or no object.
    """
    raw = without_comment_keys(read_json5(text, problems.source), (), problems)
    if folder is not None:
        raw = own_form(raw, problems)
    refuse_code_mode(raw, (), problems)
    warn_of_unknown_keys(raw, problems)
    substituted = _substituted_config(raw, environ, problems)
    if folder is not None:
        substituted = with_env_files(substituted, folder, problems)
    config = _validated_config(substituted, problems)
    return config if folder is None else _without_broken(substituted, config, problems)


def _validated_config(config: dict[str, Any], problems: Problems) -> GatewayConfig | None:
    try:
        return GatewayConfig.model_validate(config)
    except ValidationError as error:
        problems.add_all(error)
        return None


def _without_broken(
    config: dict[str, Any], read: GatewayConfig | None, problems: Problems
) -> GatewayConfig | None:
    """Leave servers out in which something is wrong; one alone, or all of them, are refused."""
    broken = problems.broken_servers()
    if not broken:
        return read
    servers = config.get("mcpServers")
    members = cast("dict[str, Any]", servers) if isinstance(servers, dict) else {}
    kept = {alias: server for alias, server in members.items() if alias not in broken}
    if not kept:
        return None
    problems.leave_out_servers()
    return _validated_config({**config, "mcpServers": kept}, problems)


def read_json5(text: str, source: str) -> ParsedObject:
    """Read an object of JSON5.

    Args:
        text: The text.
        source: Its name, for errors.

    Raises:
        ConfigError: The text is too long, not JSON5, or no object.
    """
    if len(text) > MAX_FILE_BYTES:
        raise ConfigError(f"{source}: longer than {MAX_FILE_BYTES} characters, the most for a configuration")
    try:
        # A line break makes empty text an error like every other.
        value, wrong, position = json5.parse(text + "\n", object_pairs_hook=ParsedObject)
    except RecursionError:
        raise ConfigError(f"{source}: objects and lists stand in each other too deeply") from None
    if wrong is not None:
        raise ConfigError(_syntax_problem(text, source, min(position, len(text))))
    if not isinstance(value, ParsedObject):
        raise ConfigError(f"{source}: expected an object, {{...}}, with mcpServers")
    return value


def _syntax_problem(text: str, source: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    if position >= len(text.rstrip()):
        return f"{source}:{line}:{column}: the text ends too early, or a number in it is too long"
    found = text[position]
    what = f"this {found} was not expected" if found in _PUNCTUATION else "this was not expected"
    return f"{source}:{line}:{column}: not JSON: {what}"


def _substituted_config(
    raw: dict[str, Any], environ: Mapping[str, str], problems: Problems
) -> dict[str, Any]:
    """Put the variables in; servers that are not enabled may do without theirs."""
    strict = Substitution(environ, problems)
    config = {key: strict.apply(value, (key,)) for key, value in raw.items() if key != "mcpServers"}
    servers = raw.get("mcpServers")
    if not isinstance(servers, dict):
        return config if servers is None else {**config, "mcpServers": servers}
    config["mcpServers"] = {
        alias: _substituted_server(server, ("mcpServers", alias), environ, problems)
        for alias, server in cast("dict[str, Any]", servers).items()
    }
    return config


def _substituted_server(server: Any, path: KeyPath, environ: Mapping[str, str], problems: Problems) -> Any:
    if not isinstance(server, dict):
        return server
    members = cast("dict[str, Any]", server)
    strict = Substitution(environ, problems)
    switches = {
        key: strict.apply(members[key], (*path, key)) for key in ("enabled", "disabled") if key in members
    }
    try:
        lenient = not says_enabled(switches)
    except PydanticCustomError:
        # Validation finds it again, and says so.
        lenient = False
    others = {key: value for key, value in members.items() if key not in switches}
    return {**Substitution(environ, problems, lenient=lenient).apply(others, path), **switches}

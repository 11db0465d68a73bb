"""The page of the settings: the options of a client, and the variables of the environment."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import routermcp
import routermcp_adapters
from routermcp import RouterMCPClient
from routermcp._options import Options

from .markdown import section, table

INTRODUCTION = """# Settings

The options of `RouterMCPClient` and `SyncRouterMCPClient`. An option that is not given comes from the
environment where a variable is named, then from the default.

"""

VARIABLES = """
## Variables of the environment

"""

#: The variables of the project, each with what reads it.
ENVIRONMENT = {
    "ROUTERMCP_URL": "URL of the server: clients without `url=`, commands without a target",
    "ROUTERMCP_API_KEY": "sent as `Authorization: Bearer`, but not to servers that a configuration names",
    "ROUTERMCP_USER_ID": "the user that calls are for",
    "ROUTERMCP_TIMEOUT": "milliseconds for each call, 0 for no limit",
    "ROUTERMCP_DEBUG": "`1`, `true`, `yes` or `on` logs the redacted traffic to standard error",
    "ROUTERMCP_CONFIG": "`--config` of `routermcp serve`; other ASGI servers read it too",
    "ROUTERMCP_HOST": "`--host` of `routermcp serve`",
    "ROUTERMCP_PORT": "`--port` of `routermcp serve`",
    "ROUTERMCP_WORKERS": "`--workers` of `routermcp serve`",
    "ROUTERMCP_PORTABLE_NAMES": "`--portable-names` of `routermcp serve`",
    "ROUTERMCP_LOG_FORMAT": "`--log-format` of `routermcp serve`",
    "ROUTERMCP_RELOAD": "`--reload` of `routermcp serve`",
    "ROUTERMCP_CLOUD_URL": "the address of the API of `cloud_adapter()`",
    "ROUTERMCP_NO_GC_PAUSE": "set to anything: the garbage collector is not paused while a long list is read",
}

#: Variables that others have named.
SHARED = {
    "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY": "proxies, unless `proxy=` is given; lower case too",
    "SSL_CERT_FILE, SSL_CERT_DIR": "certificates to trust, as OpenSSL reads them",
    "PROMETHEUS_MULTIPROC_DIR": "a folder that the workers of a gateway share for `/metrics`",
}

_VARIABLE = re.compile(r"\bROUTERMCP_[A-Z_]+\b")


def _options() -> Iterator[list[str]]:
    said = section(RouterMCPClient.__doc__, "Args")
    for field in dataclasses.fields(Options):
        variable = next(iter(_VARIABLE.findall(said[field.name])), "")
        default = "" if field.default is None else f"`{field.default!r}`"
        yield [f"`{field.name}`", default, f"`{variable}`" if variable else "", said[field.name]]


def unexplained_variables() -> set[str]:
    """Return the variables that the source names and the page does not, and the other way round."""
    folders = [Path(str(package.__file__)).parent for package in (routermcp, routermcp_adapters)]
    source = "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    return set(_VARIABLE.findall(source)) ^ set(ENVIRONMENT)


def settings_page() -> str:
    """Return the page.

    Raises:
        SystemExit: A variable is not explained here.
    """
    if wrong := unexplained_variables():
        raise SystemExit(f"say in {Path(__file__).name} what these variables are for: {', '.join(wrong)}")
    rows = ([f"`{name}`", text] for name, text in ENVIRONMENT.items())
    shared = ([", ".join(f"`{each}`" for each in names.split(", ")), text] for names, text in SHARED.items())
    return (
        f"{INTRODUCTION}{table(('option', 'default', 'variable', 'meaning'), _options())}"
        f"{VARIABLES}{table(('variable', 'meaning'), [*rows, *shared])}"
    )

"""How ``auth login`` has a user sign in: from its options to the settings of the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from routermcp_proto.oauth.metadata import CONCESSIONS

from ..oauth.browser import over_ssh
from ..oauth.config import CALLBACK_PORT
from ..oauth.device import DeviceCode
from ..oauth.loopback import LoopbackReceiver
from ..oauth.paste import PasteReceiver
from ..oauth.presets import PRESETS
from ..oauth.text_settings import concessions_of, settings_of
from .failures import UsageProblem

Receiver = LoopbackReceiver | PasteReceiver | DeviceCode


@dataclass(frozen=True, slots=True)
class SignInOptions:
    """The options of ``auth login`` that say how the user is asked, and as which application."""

    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or only show the page's URL.")
    ] = True
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=1,
            max=65535,
            help=f"Where the browser comes back to, on this machine. Default {CALLBACK_PORT}.",
        ),
    ] = None
    paste: Annotated[
        bool,
        typer.Option("--paste", help="Listen on no port: read the browser's last address, or a code, here."),
    ] = False
    device: Annotated[
        bool, typer.Option("--device", help="Show a code to be entered on any device, such as a phone.")
    ] = False
    redirect_uri: Annotated[
        str | None,
        typer.Option(
            "--redirect-uri", metavar="URL", help="Where your application lets its users come back to."
        ),
    ] = None
    client_id: Annotated[
        str | None,
        typer.Option("--client-id", metavar="ID", help="Id of an application that you registered by hand."),
    ] = None
    client_secret_file: Annotated[
        Path | None,
        typer.Option("--client-secret-file", metavar="FILE", help="The file that holds its secret."),
    ] = None
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="Ask for exactly these scopes. Repeatable."),
    ] = None
    resource: Annotated[
        str | None,
        typer.Option(
            "--resource",
            metavar="URL|none",
            help="The MCP server's name at the authorization server; none leaves it out.",
        ),
    ] = None
    issuer: Annotated[
        str | None,
        typer.Option("--issuer", metavar="URL", help="The authorization server; no other is asked."),
    ] = None
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", metavar="NAME[=VALUE]", help=f"Settings for a vendor: {', '.join(PRESETS)}."
        ),
    ] = None
    concession: Annotated[
        list[str] | None,
        typer.Option(
            "--concession",
            metavar="NAME[=URL]",
            help="Be less strict with the server of --issuer or --preset, which you trust: "
            f"{', '.join(CONCESSIONS)}. Repeatable.",
        ),
    ] = None
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", metavar="KEY=VALUE", help="A further parameter of the sign-in page. Repeatable."
        ),
    ] = None

    def receiver(self) -> Receiver:
        """Return how the user is asked.

        Raises:
            UsageProblem: Two ways are asked for.
        """
        if self.device and self.paste:
            raise UsageProblem("give either --device or --paste")
        if self.device:
            return DeviceCode()
        if self.paste:
            return PasteReceiver()
        reads = not self.browser or over_ssh()
        return LoopbackReceiver(port=self.port, open_browser=self.browser, paste=reads, elsewhere="--port")

    def settings(self, receiver: Receiver) -> dict[str, Any]:
        """Return the settings of ``OAuthConfig``; what is given by an option wins over the preset.

        Args:
            receiver: How the user is asked.

        Raises:
            UsageProblem: An option cannot be read.
            ConfigError: There is no such preset or concession.
        """
        given = {
            "authorize": receiver,
            "client_id": self.client_id,
            "client_secret": _secret_in(self.client_secret_file),
            "redirect_uri": self.redirect_uri,
            "issuer": self.issuer,
            "scopes": [scope for each in self.scope or () for scope in each.split()] or None,
            "resource": False if self.resource == "none" else self.resource,
            "authorize_params": _pairs(self.param) if self.param else None,
        }
        return settings_of(self.preset, given, concessions_of(self.concession or ()))


def _secret_in(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise UsageProblem(f"--client-secret-file {path} cannot be read: {error}") from error
    if not secret:
        raise UsageProblem(f"--client-secret-file {path} is empty")
    return secret


def _pairs(given: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in given:
        key, separator, value = item.partition("=")
        if not key or not separator:
            raise UsageProblem(f"--param {item!r} is not key=value")
        pairs[key] = value
    return pairs

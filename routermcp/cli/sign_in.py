"""How ``auth login`` has a user sign in: from its options to the settings of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..oauth import presets
from ..oauth.browser import over_ssh
from ..oauth.device import DeviceCode
from ..oauth.loopback import LoopbackReceiver
from ..oauth.paste import PasteReceiver
from .failures import UsageProblem

Receiver = LoopbackReceiver | PasteReceiver | DeviceCode


@dataclass(frozen=True, slots=True)
class SignInOptions:
    """The options of ``auth login`` that say how the user is asked, and as which application.

    Attributes:
        browser: Whether to open a browser.
        port: The port that the browser comes back to.
        paste: Whether the browser's last address is pasted, and no port listened on.
        device: Whether a code is shown for another device.
        redirect_uri: Where the application was registered to let its users come back to.
        client_id: The id of an application that was registered by hand.
        client_secret_file: The file that holds its secret.
        scopes: The scopes to ask for.
        issuer: The authorization server.
        preset: A preset, as ``presets.named`` takes it.
        parameters: Further parameters of the page, ``key=value`` each.
    """

    browser: bool = True
    port: int | None = None
    paste: bool = False
    device: bool = False
    redirect_uri: str | None = None
    client_id: str | None = None
    client_secret_file: Path | None = None
    scopes: Sequence[str] = ()
    issuer: str | None = None
    preset: str | None = None
    parameters: Sequence[str] = ()

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
            ConfigError: There is no such preset.
        """
        settings: dict[str, Any] = dict(presets.named(self.preset)) if self.preset is not None else {}
        settings["authorize"] = receiver
        given = {
            "client_id": self.client_id,
            "client_secret": _secret_in(self.client_secret_file),
            "redirect_uri": self.redirect_uri,
            "issuer": self.issuer,
            "scopes": [scope for each in self.scopes for scope in each.split()] or None,
        }
        settings |= {name: value for name, value in given.items() if value is not None}
        if self.parameters:
            of_preset: Mapping[str, str] = settings.get("authorize_params", {})
            settings["authorize_params"] = {**of_preset, **_pairs(self.parameters)}
        return settings


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

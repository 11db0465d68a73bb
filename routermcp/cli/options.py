"""The options that all commands have, and the client that they make."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer

from .. import SyncRouterMCPClient
from .._internal import DEFAULT_INTERACTION_TIMEOUT_MS
from ..oauth import OAuthConfig, file_adapter
from ..oauth.config import Authorize
from .failures import reported

UrlOption = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="URL of the server. [env: ROUTERMCP_URL]")
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="API key; other users of the machine may see it here, not in the environment. "
        "[env: ROUTERMCP_API_KEY]",
    ),
]
UserIdOption = Annotated[
    str | None,
    typer.Option("--user-id", metavar="ID", help="Whose calls these are. [env: ROUTERMCP_USER_ID]"),
]
TimeoutOption = Annotated[
    int | None,
    typer.Option(
        "--timeout", metavar="MS", help="Milliseconds for each call, 0 for no limit. [env: ROUTERMCP_TIMEOUT]"
    ),
]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Show the traffic, and where errors come from, on standard error.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON document.")]


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """What was said about the server; what is None comes from the environment."""

    url: str | None
    api_key: str | None
    user_id: str | None
    timeout: int | None
    debug: bool

    @contextmanager
    def made(
        self, authorize: Authorize | None = None, interaction_timeout: int = DEFAULT_INTERACTION_TIMEOUT_MS
    ) -> Generator[SyncRouterMCPClient]:
        """Make the client, which is not connected yet; errors end the program in an orderly way.

        The tokens of ``routermcp auth login`` are used.

        Args:
            authorize: Has the user sign in where that is needed.
            interaction_timeout: Milliseconds for that.

        Raises:
            typer.Exit: Something failed, and was reported.
        """
        # Warnings of the client about single entries of a list are for developers.
        logging.getLogger("routermcp").addHandler(logging.NullHandler())
        with reported(debug=self.debug):
            yield SyncRouterMCPClient(
                self.url,
                self.api_key,
                self.user_id,
                self.timeout,
                oauth=OAuthConfig(
                    file_adapter(), authorize=authorize, client_name="routermcp", single_user=True
                ),
                debug=self.debug or None,
                interaction_timeout=interaction_timeout,
            )

    @contextmanager
    def connected(
        self, authorize: Authorize | None = None, interaction_timeout: int = DEFAULT_INTERACTION_TIMEOUT_MS
    ) -> Generator[SyncRouterMCPClient]:
        """Connect to the server; see :meth:`made`."""
        with self.made(authorize, interaction_timeout) as client, client:
            yield client

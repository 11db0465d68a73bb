"""The options that all commands have, and the client that they make."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any

import typer

from .. import SyncRouterMCPClient
from .._internal import DEFAULT_INTERACTION_TIMEOUT_MS
from ..oauth import OAuthConfig, file_adapter
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
    """The options for reaching a server; those that are None come from the environment."""

    url: UrlOption = None
    api_key: ApiKeyOption = None
    user_id: UserIdOption = None
    timeout: TimeoutOption = None
    debug: DebugOption = False

    @contextmanager
    def made(
        self,
        sign_in: Callable[[], Mapping[str, Any]] = dict,
        interaction_timeout: int = DEFAULT_INTERACTION_TIMEOUT_MS,
    ) -> Generator[SyncRouterMCPClient]:
        """Make the client, not connected yet, with the tokens of ``routermcp auth login``.

        Args:
            sign_in: Returns settings of signing in, for commands that may ask the user.
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
                oauth=signed_in(**sign_in()),
                debug=self.debug or None,
                interaction_timeout=interaction_timeout,
            )

    @contextmanager
    def connected(
        self,
        sign_in: Callable[[], Mapping[str, Any]] = dict,
        interaction_timeout: int = DEFAULT_INTERACTION_TIMEOUT_MS,
    ) -> Generator[SyncRouterMCPClient]:
        """Connect to the server; see :meth:`made`."""
        with self.made(sign_in, interaction_timeout) as client, client:
            yield client


def signed_in(**sign_in: Any) -> OAuthConfig:
    """Return the settings with which all commands use the tokens of ``routermcp auth login``.

    Args:
        sign_in: Settings of signing in, for commands that may ask the user.
    """
    return OAuthConfig(file_adapter(), client_name="routermcp", single_user=True, **sign_in)


def takes_client_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of :class:`ClientOptions`, in place of its ``options``."""
    fields = inspect.signature(ClientOptions, eval_str=True).parameters

    @wraps(command)
    def run(**given: Any) -> None:
        command(options=ClientOptions(**{name: given.pop(name) for name in fields}), **given)

    own = dict(inspect.signature(command, eval_str=True).parameters)
    del own["options"]
    options = [field.replace(kind=inspect.Parameter.KEYWORD_ONLY) for field in fields.values()]
    parameters = sorted([*options, *own.values()], key=lambda parameter: parameter.kind)
    # typer reads the signature and the annotations.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run

"""The options that all commands have, and the client that they make."""

from __future__ import annotations

import logging
import shlex
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import SyncRouterMCPClient
from .._internal import DEFAULT_INTERACTION_TIMEOUT_MS
from ..oauth import OAuthConfig, file_adapter
from ..transports import stdio
from .failures import UsageProblem, reported
from .questions.terminal import question_settings
from .targets import ServerTarget, headers_of, variables_of

UrlOption = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="URL of the server. [env: ROUTERMCP_URL]")
]
#: The same as ``--url``, for the commands that have a gateway as their server.
GatewayArgument = Annotated[
    str | None, typer.Argument(metavar="[URL]", help="URL of the gateway, as --url.", show_default=False)
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
HeaderOption = Annotated[
    list[str] | None,
    typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="A header for every request. Repeatable."),
]
ProxyOption = Annotated[
    str | None,
    typer.Option(
        "--proxy",
        metavar="URL",
        help="The proxy to go through, '' for none. [env: HTTPS_PROXY, NO_PROXY ...]",
    ),
]
CertOption = Annotated[
    Path | None,
    typer.Option("--cert", metavar="FILE", help="PEM file of the client's certificate, and of its key."),
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="The key, where --cert does not hold it.")
]
CACertOption = Annotated[
    Path | None,
    typer.Option("--cacert", metavar="FILE", help="The certificates to trust instead of the system's."),
]
InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="Do not check the server's certificate: anyone may answer.")
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option(
        "--env", metavar="NAME[=VALUE]", help="A variable for -- COMMAND; without value, yours. Repeatable."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON document.")]


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """The options for reaching a server; those that are None come from the environment.

    The fields that are given by keyword only are no options of the command line.

    Attributes:
        target: The server, where it is not named by ``--url`` or the environment.
        session: A client that is connected, which is used instead of a new one.
    """

    url: UrlOption = None
    api_key: ApiKeyOption = None
    user_id: UserIdOption = None
    timeout: TimeoutOption = None
    debug: DebugOption = False
    header: HeaderOption = None
    proxy: ProxyOption = None
    cert: CertOption = None
    key: KeyOption = None
    cacert: CACertOption = None
    insecure: InsecureOption = False
    env: EnvOption = None
    _: KW_ONLY
    target: ServerTarget | None = None
    session: SyncRouterMCPClient | None = None

    @property
    def names_server(self) -> bool:
        """Whether the command line names a server."""
        return self.url is not None or self.target is not None

    def _sign_in_url(self) -> str:
        """Return the URL that ``auth login`` can be given; that of a configuration may hold a secret."""
        target = self.target or ServerTarget(url=self.url)
        return target.url or "" if not target.configured else ""

    @property
    def place(self) -> str:
        """The name of the server in messages."""
        return (self.target or ServerTarget(url=self.url)).place

    def words(self, *own: str) -> str:
        """Return words of a command line with the server named as it was, to be typed again."""
        if self.target is not None:
            return self.target.words(*own)
        return shlex.join([*own, *(["--url", self.url] if self.url is not None else [])])

    def settings(self) -> dict[str, Any]:
        """Return the settings of a client of either kind.

        Raises:
            UsageProblem: Two options contradict each other.
            ConfigError: An option is wrong.
        """
        target = self.target or ServerTarget(url=self.url)
        common = {
            "user_id": self.user_id,
            "timeout": self.timeout if self.timeout is not None else target.timeout,
            "debug": self.debug or None,
        }
        if target.command:
            self._refuse_http_options()
            env = {**target.env, **variables_of(self.env or [])}
            return {**common, "transport": stdio(target.command, env=env or None, cwd=target.cwd)}
        if self.env:
            raise UsageProblem("--env is for a program to start, given after --")
        return {
            **common,
            "url": target.url,
            # A server of a configuration has the credentials that stand there.
            "api_key": self.api_key if self.api_key is not None or not target.configured else target.api_key,
            "headers": {**target.headers, **headers_of(self.header or [])} or None,
            "sse": target.sse,
            "proxy": self.proxy,
            **self._tls_settings(),
        }

    def _refuse_http_options(self) -> None:
        given = {
            "--api-key": self.api_key,
            "--header": self.header,
            "--proxy": self.proxy,
            "--cert": self.cert,
            "--cacert": self.cacert,
            "--insecure": self.insecure,
        }
        for name, value in given.items():
            if value:
                raise UsageProblem(f"{name} is for servers over HTTP, not for a program to start")

    def _tls_settings(self) -> dict[str, Any]:
        if self.insecure and self.cacert is not None:
            raise UsageProblem("give either --insecure or --cacert")
        if self.key is not None and self.cert is None:
            raise UsageProblem("--key belongs to --cert, which is not given")
        cert = (
            None
            if self.cert is None
            else str(self.cert)
            if self.key is None
            else (str(self.cert), str(self.key))
        )
        return {"cert": cert, "verify": not self.insecure if self.cacert is None else str(self.cacert)}

    @contextmanager
    def made(
        self,
        sign_in: Callable[[], Mapping[str, Any]] = dict,
        interaction_timeout: int = DEFAULT_INTERACTION_TIMEOUT_MS,
        **more: Any,
    ) -> Generator[SyncRouterMCPClient]:
        """Make the client, not connected yet, with the tokens of ``routermcp auth login``.

        Args:
            sign_in: Returns settings of signing in, for commands that may ask the user.
            interaction_timeout: Milliseconds for that.
            more: Further settings of the client.

        Raises:
            typer.Exit: Something failed, and was reported.
        """
        with reported(debug=self.debug, at=self._sign_in_url()):
            yield self.client(sign_in, interaction_timeout=interaction_timeout, **more)

    def client(self, sign_in: Callable[[], Mapping[str, Any]] = dict, **more: Any) -> SyncRouterMCPClient:
        """Return the client, not connected yet; see :meth:`made`.

        Raises:
            UsageProblem: Two options contradict each other.
            ConfigError: An option is wrong.
        """
        settings = self.settings()
        if "transport" not in settings:
            settings["oauth"] = signed_in(**sign_in())
        with insecure_without_warning():
            return SyncRouterMCPClient(**settings, **more)

    @contextmanager
    def connected(self, **more: Any) -> Generator[SyncRouterMCPClient]:
        """Connect to the server, whose questions the user of the terminal answers; see :meth:`made`.

        In the shell this is the shell's session.

        Args:
            more: Further settings of the client.
        """
        if self.session is not None:
            with reported(debug=self.debug, at=self._sign_in_url()):
                yield self.session
            return
        with self.made(**{**question_settings(), **more}) as client, client:
            yield client


@contextmanager
def insecure_without_warning() -> Generator[None]:
    """Silence the library's warning of ``verify=False``: ``--insecure`` says so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="verify=False")
        yield


def quiet_logs() -> None:
    """Keep warnings about single entries of a server off the terminal: they are for developers."""
    logging.getLogger("routermcp").addHandler(logging.NullHandler())


def signed_in(**sign_in: Any) -> OAuthConfig:
    """Return the settings with which all commands use the tokens of ``routermcp auth login``.

    Args:
        sign_in: Settings of signing in, for commands that may ask the user.
    """
    return OAuthConfig(file_adapter(), client_name="routermcp", single_user=True, **sign_in)

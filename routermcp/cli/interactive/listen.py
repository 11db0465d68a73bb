"""The command ``listen``: what a server says by itself, as it comes."""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from routermcp_proto.names import ACKNOWLEDGED

from ... import MethodNotFoundError, SyncRouterMCPClient
from ...types import LogMessage, MCPError
from ..client_commands import client_command
from ..failures import complain
from ..options import ClientOptions
from ..output import write_text

app = typer.Typer()

#: Seconds of silence after which the server is asked for a sign of life, so that one that has gone is told.
SILENCE_SECONDS = 30.0

_PREFIX = "notifications/"


@client_command(app)
def listen(
    *,
    options: ClientOptions,
    resource: Annotated[
        list[str] | None,
        typer.Option("--resource", metavar="URI", help="Hear when this resource changes. Repeatable."),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            "--log-level", metavar="LEVEL", help="Hear log messages from this level on: debug, info ..."
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, metavar="N", help="End after so many.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document in each line.")] = False,
) -> None:
    """Show what a server says by itself: changes of its lists and resources, and log messages.

    It ends with Ctrl-C, after --count, or when the server is gone.
    """
    heard = Heard()
    with options.connected(on_notification=heard.notification, on_log=heard.log) as client:
        _subscribe(client, resource or [], heard)
        if log_level is not None:
            client.set_log_level(log_level)
        complain("listening; Ctrl-C ends it")
        for number, (method, params) in enumerate(heard.as_it_comes(client), start=1):
            _write_notification(method, params, as_json=as_json)
            if number == count:
                return


class Heard:
    """What was heard of a server and not shown yet."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[str, Mapping[str, Any]] | MCPError] = queue.SimpleQueue()

    def notification(self, method: str, params: Mapping[str, Any]) -> None:
        """Take a notification; that a subscription has begun is no news."""
        if method != ACKNOWLEDGED:
            self._queue.put((method, params))

    def log(self, message: LogMessage) -> None:
        """Take a log message."""
        self._queue.put((f"{_PREFIX}message", message.to_wire()))

    def lost(self, error: MCPError) -> None:
        """End with an error, after what was heard before."""
        self._queue.put(error)

    def as_it_comes(self, client: SyncRouterMCPClient) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield methods and parameters, for as long as the server lives.

        Raises:
            MCPError: The server is gone.
        """
        while True:
            try:
                item = self._queue.get(timeout=SILENCE_SECONDS)
            except queue.Empty:
                client.ping()
                continue
            if isinstance(item, MCPError):
                raise item
            yield item


def _subscribe(client: SyncRouterMCPClient, uris: Sequence[str], heard: Heard) -> None:
    """Subscribe to resources in the way of the server's era."""
    try:
        for uri in uris:
            client.subscribe_resource(uri)
    except MethodNotFoundError:
        # From 2026-07-28 on a subscription is a request that lasts.
        wanted = {"notifications": {"resourceSubscriptions": [*uris]}}

        def subscribed() -> None:
            try:
                client.request("subscriptions/listen", wanted, dict, timeout=0)
            except MCPError as error:
                heard.lost(error)

        threading.Thread(target=subscribed, name="routermcp listen", daemon=True).start()


def _write_notification(method: str, params: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        # Escaped, so that it is one line whatever the server says.
        sys.stdout.write(f"{json.dumps({'method': method, 'params': params})}\n")
    else:
        write_text(" ".join(describe_notification(method, params).split()))
    sys.stdout.flush()


def describe_notification(method: str, params: Mapping[str, Any], now: datetime | None = None) -> str:
    """Return a notification as a line, with the time of day."""
    clock = (now or datetime.now().astimezone()).strftime("%H:%M:%S")
    kind = method.removeprefix(_PREFIX)
    if kind == "message":
        data = params.get("data")
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        logger = f"{params['logger']}: " if params.get("logger") else ""
        return f"{clock} {params.get('level', 'log')} {logger}{text}"
    members = {name: value for name, value in params.items() if name != "_meta"}
    if set(members) == {"uri"}:
        return f"{clock} {kind} {members['uri']}"
    return f"{clock} {kind} {json.dumps(members, ensure_ascii=False) if members else ''}"

"""How ``serve`` in one process reads its configuration again."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from routermcp_adapters.runtimes.auto import running
from routermcp_proto.exceptions import ConfigError

if TYPE_CHECKING:
    from ...gateway.aggregate import Aggregate
    from ...gateway.config.model import GatewayConfig
    from ...gateway.telemetry.audit import OnAudited

#: Seconds between looks at the configuration with ``serve --reload``: as long as a save takes.
WATCH_SECONDS = 1.0


def hold_hangups() -> Callable[[], None]:
    """Keep SIGHUP from ending this process while it starts.

    Returns:
        What sends one that came again, to the handler that is there by then.
    """
    came: list[int] = []
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda number, _frame: came.append(number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # the program blocks it from its start

    def release() -> None:
        if came:
            os.kill(os.getpid(), came[0])

    return release


def config_reloader(
    settings: GatewayConfig, backend: Aggregate, path: Path, read: Callable[[], GatewayConfig]
) -> Callable[[OnAudited], None]:
    """Return what reads the configuration again; a broken one leaves the old one as it is.

    To be called in the event loop. The file is read in a thread: a long one takes seconds. After a call that
    comes meanwhile it is read once more.
    """
    from ...gateway.reload import changes_between, reload_backend  # noqa: PLC0415 - needs the extra
    from ...gateway.telemetry.audit import AuditedEvent  # noqa: PLC0415
    from ...gateway.telemetry.process_log import tell  # noqa: PLC0415

    before, stale = settings, False
    task: asyncio.Task[None] | None = None

    def read_again(on_audited: OnAudited) -> None:
        nonlocal stale, task
        stale = True
        if task is None or task.done():
            task = asyncio.get_running_loop().create_task(read_while_stale(on_audited))

    async def read_while_stale(on_audited: OnAudited) -> None:
        nonlocal before, stale
        while stale:
            stale = False
            try:
                after = await running().run_blocking(read)
                reload_backend(backend, before, after, folder=path.parent)
            except ConfigError as error:
                tell(f"the configuration stays as it was: {error}")
                on_audited(AuditedEvent.CONFIG_REFUSED, {"file": str(path), "reason": str(error)})
            else:
                changes, before = changes_between(before, after), after
                aliases = ", ".join(backend.upstreams) or "no servers"
                tell(f"{path} is read again ({aliases})")
                on_audited(AuditedEvent.CONFIG_RELOADED, {"file": str(path), **changes.details()})

    return read_again


def watch_config_file(path: Path) -> None:
    """Send SIGHUP to this process when a file has changed."""
    if not hasattr(signal, "SIGHUP"):
        raise ConfigError("--reload needs SIGHUP, which this system does not have")
    ended = threading.Event()  # never set: the thread ends with the program

    def changed_at() -> int | None:
        try:
            return path.stat().st_mtime_ns
        except OSError:
            return None  # an editor that is replacing it

    def watch(seen: int | None) -> None:
        while not ended.wait(WATCH_SECONDS):
            now = changed_at()
            if now not in (seen, None):
                seen = now
                os.kill(os.getpid(), signal.SIGHUP)

    threading.Thread(target=watch, args=(changed_at(),), name="routermcp-reload", daemon=True).start()

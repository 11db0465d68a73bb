"""A child process with pipes: how it is started and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..runtime import Runtime
from .pipes import DescriptorPipes, Pipes, ThreadPipes

#: Variables that a child gets from its parent: what a program needs to run, and none of
#: the keys and tokens that a parent's environment often holds.
INHERITED = frozenset(
    {
        *("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATHEXT", "PROCESSOR_ARCHITECTURE"),
        *("SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "TMP", "USERNAME", "USERPROFILE"),
    }
)
_INHERITED_PREFIX = "LC_"

#: What has programs write UTF-8, as MCP has it, where that is not their default: Python on Windows.
UTF_8: Mapping[str, str] = {"PYTHONUTF8": "1"} if sys.platform == "win32" else {}

#: Seconds for the system to report a child that was killed.
KILL_SECONDS = 1.0

#: Seconds between two polls of a child that is ending: short at first, since most end at once.
_FIRST_POLL, _LAST_POLL = 0.002, 0.05


@dataclass(frozen=True, slots=True)
class ShutdownTimeouts:
    """Seconds that a child has to end before it is killed (MCP 2026-07-28, stdio, "Shutdown").

    Attributes:
        exit: From the end of its input to SIGTERM.
        terminate: From SIGTERM to SIGKILL.
    """

    exit: float = 2.0
    terminate: float = 2.0


def environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """Return the variables of a child: a few of the parent's, and those that were given."""
    kept = {
        name: value
        for name, value in os.environ.items()
        # What looks like a function is one that old shells would run.
        if (name.upper() in INHERITED or name.startswith(_INHERITED_PREFIX)) and not value.startswith("()")
    }
    return {**kept, **UTF_8, **(extra or {})}


class Child:
    """A child process, the leader of a process group of its own.

    It gets ``env`` beside the variables of :func:`environment`.

    Args:
        command: Program and arguments.
        env: Variables for it.
        cwd: The folder to start it in.
        wake: Where threads are to wait for its pipes, called in one of them when there is something
            to do; see :class:`~.pipes.ThreadPipes`.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None,
        cwd: str | os.PathLike[str] | None,
        wake: Callable[[], object] | None = None,
    ) -> None:
        # Watched before it is started: Ctrl-C may come as soon as it is.
        process = cast("subprocess.Popen[bytes]", subprocess.Popen.__new__(subprocess.Popen))
        self._process = process
        self._owner = os.getpid()
        self._end = weakref.finalize(self, _clear, process, self._owner)
        try:
            process.__init__(
                list(command),
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(env),
                cwd=cwd,
                # Ctrl-C in a terminal goes to the whole foreground group; the child has to
                # finish what it is told to finish, and its own children end with it.
                **NEW_GROUP,
            )
        except OSError:
            # It was never there, and its number may soon be another's.
            self._end.detach()
            raise
        self.pipes: Pipes = DescriptorPipes(process) if wake is None else ThreadPipes(process, wake)

    @property
    def exit_code(self) -> int | None:
        """The exit code, None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def close_stdin(self) -> None:
        """Close the child's input, which asks it to end."""
        self.pipes.close_input()

    async def wait(self, runtime: Runtime, seconds: float, drain: Callable[[], None] | None = None) -> bool:
        """Wait for its end, for so many seconds, and drain its pipes; return whether it has ended."""
        until, pause = runtime.now() + seconds, _FIRST_POLL
        while self.exit_code is None:
            if runtime.now() >= until:
                return False
            if drain is not None:
                drain()
            await runtime.sleep(pause)
            pause = min(pause * 2, _LAST_POLL)
        return True

    async def stop(self, runtime: Runtime, timeouts: ShutdownTimeouts, drain: Callable[[], None]) -> None:
        """Close the child's input, then have its whole group asked to end, then ended."""
        self.close_stdin()
        if not await self.wait(runtime, timeouts.exit, drain):
            _terminate(self._process)
            await self.wait(runtime, timeouts.terminate, drain)
        self.close()
        await self.pipes.closed(runtime)

    def kill(self) -> None:
        """End the child and its group at once, and leave the pipes open for their reader."""
        if self._end.alive:
            _kill(self._process, self._owner)

    def close(self) -> None:
        """End the child and its group at once, and close the pipes; may be called again.

        In a fork of its owner only the pipes are closed.
        """
        if self._end.alive:
            _clear(self._process, self._owner)
            self.pipes.close()
            self._end.detach()


if sys.platform == "win32":  # pragma: no cover - these lines run on Windows alone
    NEW_GROUP: Mapping[str, Any] = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}

    def _terminate(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(OSError):
            process.send_signal(signal.CTRL_BREAK_EVENT)

    def _end_group(process: subprocess.Popen[bytes]) -> None:
        # Windows ends single processes; taskkill finds the children of one.
        command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, timeout=KILL_SECONDS, check=False)  # noqa: S603
        with contextlib.suppress(OSError):
            process.kill()

else:
    NEW_GROUP: Mapping[str, Any] = {"start_new_session": True}

    def _terminate(process: subprocess.Popen[bytes]) -> None:
        _signal_group(process, signal.SIGTERM)

    def _end_group(process: subprocess.Popen[bytes]) -> None:
        _signal_group(process, signal.SIGKILL)

    def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


def _kill(process: subprocess.Popen[bytes], owner: int) -> None:
    """End a child with its group and reap it; a fork of the owner leaves it alone."""
    if os.getpid() != owner:
        # It is the parent's to reap: here it only must not warn.
        process.returncode = 0
        return
    _end_group(process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(KILL_SECONDS)


def _clear(process: subprocess.Popen[bytes], owner: int) -> None:
    """End a child, if it was started, and close its pipes."""
    if getattr(process, "pid", None) is None:
        return
    _kill(process, owner)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()

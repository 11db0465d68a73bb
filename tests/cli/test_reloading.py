"""Reading the configuration again: whatever stands in its place, the gateway goes on."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from routermcp.cli import serving
from routermcp.cli.daemon import Daemon, announced, state_folder
from routermcp.cli.gateway import reloading, workers
from routermcp.gateway import application
from routermcp.gateway.aggregate import Aggregate
from routermcp.gateway.config.check import check
from routermcp.gateway.config.file import check_is_file, load
from routermcp.gateway.config.hosts import host_file
from routermcp.gateway.config.importing import import_servers
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.serving import supervisor, uvicorn
from routermcp.gateway.serving.options import ServeOptions
from routermcp.gateway.serving.replacing import END_SECONDS, DrainingWorkers, Ending, replace_workers
from routermcp.types import ConfigError

PATIENCE = 10.0

needs_hangups = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
needs_links = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


@contextmanager
def handled(number: int, handler: Any) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def test_requests_are_answered_while_a_long_file_is_read() -> None:
    """And the file is read once more for a change that comes meanwhile."""
    begun, go_on = threading.Event(), threading.Event()
    reads: list[int] = []

    def read() -> GatewayConfig:
        reads.append(threading.get_ident())
        begun.set()
        assert go_on.wait(PATIENCE)
        return GatewayConfig()

    async def body() -> None:
        noted: list[Any] = []
        again = reloading.config_reloader(GatewayConfig(), Aggregate([]), Path("routermcp.jsonc"), read)

        def ask() -> None:
            again(lambda event, _details: noted.append(event))

        ask()
        while not begun.is_set():  # the loop goes on
            await asyncio.sleep(0)
        ask()
        ask()
        go_on.set()
        while len(noted) < 2:
            await asyncio.sleep(0)
        assert len(reads) == 2
        assert threading.get_ident() not in reads

    asyncio.run(asyncio.wait_for(body(), PATIENCE))


@needs_links
def test_a_pipe_and_links_in_a_circle_are_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "routermcp.jsonc"
    check_is_file(path)  # one that is gone is told by reading it
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="no file"):
        check_is_file(path)
    piped = import_servers([host_file(path)], {}, workspace=tmp_path, target=tmp_path / "new.jsonc")
    assert len(piped.unread) == 1
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path, tolerant=True)
    assert check(path, {})[0] is None
    found = import_servers([host_file(path)], {}, workspace=tmp_path, target=tmp_path / "new.jsonc")
    assert len(found.unread) == 1


@needs_hangups
def test_a_hangup_while_the_gateway_starts_is_heard_later() -> None:
    heard: list[int] = []
    with handled(signal.SIGHUP, signal.SIG_DFL):
        release = reloading.hold_hangups()
        release()  # none came
        os.kill(os.getpid(), signal.SIGHUP)
        signal.signal(signal.SIGHUP, lambda number, _frame: heard.append(number))
        assert heard == []
        release()
        assert heard == [signal.SIGHUP]


def test_no_mistake_ends_the_process_that_restarts_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Callable[[], bool]] = []

    def serve_workers(_application: str, *, may_restart: Callable[[], bool], **_options: Any) -> None:
        asked.append(may_restart)

    def read() -> GatewayConfig:
        raise RuntimeError("of a library")

    monkeypatch.setattr(uvicorn, "serve_workers", serve_workers)
    for name in (application.CONFIG_VARIABLE, "PATH"):  # what it sets goes with the test
        monkeypatch.setenv(name, os.environ.get(name, ""))
    config = GatewayConfig.model_validate({"session": {"store": "redis://127.0.0.1:1/0"}})
    workers.serve_with_workers(config, tmp_path / "routermcp.jsonc", 2, read, ServeOptions(), lambda: None)
    assert asked[0]() is False
    assert "stays as it was: of a library" in capsys.readouterr().err


def test_the_pages_of_a_gateway_at_any_free_port_are_at_the_one_that_it_got(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one process, and of workers."""
    config = GatewayConfig.model_validate(
        {"session": {"store": "redis://127.0.0.1:1/0"}, "httpServer": {"port": 0}}
    )

    class Told(Aggregate):
        origin = ""

        def listens_at(self, origin: str) -> None:
            self.origin = origin

    def serve_application(_app: Any, _config: Any, tell: Callable[[str], None], **_options: Any) -> None:
        tell("http://127.0.0.1:4321/mcp")

    def serve_workers(_application: str, *, on_start: Callable[[str], None], **_options: Any) -> None:
        on_start("http://127.0.0.1:4321")

    monkeypatch.setattr(serving, "serve_application", serve_application)
    backend = Told([])
    serving.serve_gateway(config, backend, "routermcp.jsonc")
    assert backend.origin == "http://127.0.0.1:4321"
    monkeypatch.setattr(uvicorn, "serve_workers", serve_workers)
    for name in (application.CONFIG_VARIABLE, "ROUTERMCP_PORT", *ServeOptions().variables()):
        monkeypatch.setenv(name, "")
    path, asked, heard = tmp_path / "routermcp.jsonc", ServeOptions(port=0), threading.Event()
    workers.serve_with_workers(config, path, 2, lambda: config, asked, heard.set)
    assert ServeOptions.from_environment(os.environ).port == 4321
    assert heard.is_set(), "a SIGHUP that came before"


def test_workers_do_not_repeat_what_their_supervisor_tells_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "routermcp.jsonc"
    path.write_text('{"noSuchKey": 1}')
    monkeypatch.setenv(application.CONFIG_VARIABLE, str(path))
    monkeypatch.setattr(application, "spare_the_collector", lambda: None)
    monkeypatch.setattr(supervisor, "leave_terminal_signals_to_supervisor", lambda: None)
    application.create_for_supervisor()
    assert "noSuchKey" not in caplog.text
    application.create()  # under another ASGI server nothing else tells it
    assert "noSuchKey" in caplog.text


def test_a_worker_that_cannot_start_says_so_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(application.CONFIG_VARIABLE, str(tmp_path / "gone.jsonc"))
    monkeypatch.setattr(supervisor, "leave_terminal_signals_to_supervisor", lambda: None)
    with pytest.raises(SystemExit):
        application.create_for_supervisor()
    (record,) = caplog.records
    assert "a worker does not start" in record.message
    assert "gone.jsonc" in record.message
    assert not record.exc_info


def test_a_worker_ends_with_its_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor, ended = threading.Event(), threading.Event()

    class Process:
        def join(self) -> None:
            assert supervisor.wait(PATIENCE)

    with handled(signal.SIGTERM, lambda _number, _frame: ended.set()):
        application.end_with_supervisor()  # a process that nothing supervises
        monkeypatch.setattr(multiprocessing, "parent_process", Process)
        application.end_with_supervisor()
        assert not ended.is_set()
        supervisor.set()
        until = time.monotonic() + PATIENCE
        while not ended.wait(0.01):  # a long wait is not interrupted where another thread gets the signal
            assert time.monotonic() < until


def test_a_daemon_that_ends_leaves_the_files_of_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    config = tmp_path / "routermcp.jsonc"
    pid = state_folder(config) / "daemon.pid"
    with announced(config) as announce:
        announce("http://127.0.0.1:4000/mcp")
    assert not list(pid.parent.iterdir())
    with announced(config) as announce:
        announce("http://127.0.0.1:4000/mcp")
        pid.write_text("1\n")
    assert sorted(each.name for each in pid.parent.iterdir()) == ["daemon.pid", "daemon.port"]


class Worker:
    """A worker process that notes what is done to it."""

    def __init__(self, name: str, done: list[str], *, ready: bool = True) -> None:
        self._name = name
        self._done = done
        self._ready = ready
        self.exitcode: int | None = None

    @property
    def process(self) -> Any:
        return SimpleNamespace(exitcode=self.exitcode, join=lambda seconds: self._done.append(f"{seconds} s"))

    def wait_until_ready(self, seconds: float, ending: Ending) -> bool:
        self._done.append(f"{self._name} is ready" if self._ready else f"{self._name} is late")
        return self._ready and not ending.is_set()

    def terminate(self) -> None:
        self._done.append(f"{self._name} ends")

    def kill(self) -> None:
        self._done.append(f"{self._name} is killed")

    def join(self) -> None:
        self._done.append(f"{self._name} has ended")


def test_a_withdrawn_key_is_good_for_no_longer_where_several_workers_have_calls_under_way() -> None:
    done: list[str] = []
    old, new = [Worker("1", done), Worker("2", done)], [Worker("3", done), Worker("4", done)]
    assert replace_workers(old, new, threading.Event())
    assert done == ["3 is ready", "4 is ready", "1 ends", "2 ends"]


def test_workers_go_on_where_new_ones_do_not_start_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []
    late = [Worker("3", done, ready=False), Worker("4", done)]
    assert not replace_workers([Worker("1", done), Worker("2", done)], late, threading.Event())
    assert done == ["3 is late", "3 is killed", "3 has ended", "4 is killed", "4 has ended"]
    assert "the old ones go on" in caplog.text


def test_new_workers_are_ended_where_all_are_to_end_and_the_log_does_not_blame_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []
    ending = threading.Event()
    ending.set()
    assert not replace_workers([Worker("1", done)], [Worker("2", done)], ending)
    assert done == ["2 is ready", "2 is killed", "2 has ended"]
    assert caplog.text == ""


@pytest.mark.parametrize("all_end", [False, True])
def test_a_worker_that_does_not_end_is_killed_when_its_time_is_over(all_end: bool) -> None:
    """While others serve, and where all end."""
    now, done = 100.0, list[str]()
    ended, stuck = Worker("1", done), Worker("2", done)
    draining = DrainingWorkers(8.0, clock=lambda: now)
    draining.add([ended, stuck])
    assert draining.are_left()
    ended.exitcode = 0
    now += 7.0
    assert draining.are_left()
    assert done == []
    if all_end:
        draining.wait()
        assert done == [f"{1.0 + END_SECONDS} s", "2 is killed", "2 has ended"]
    else:
        now += 1.0 + END_SECONDS
        assert not draining.are_left()
        assert done == ["2 is killed", "2 has ended"]


@pytest.mark.parametrize("left_by_a_killed_process", [False, True])
def test_one_of_many_starters_starts_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_by_a_killed_process: bool
) -> None:
    """However old the file of the lock is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    config = tmp_path / "routermcp.jsonc"
    config.write_text("{}")
    starts: list[int] = []

    def running(_self: Daemon) -> str | None:
        return "http://127.0.0.1:4000/mcp" if len(starts) > 0 and starts[0] else None

    def start(_self: Daemon) -> str:
        starts.append(0)
        time.sleep(0)  # another thread may come in between
        starts[0] = len(starts)
        return "http://127.0.0.1:4000/mcp"

    monkeypatch.setattr(Daemon, "_running", running)
    monkeypatch.setattr(Daemon, "_start", start)
    if left_by_a_killed_process:
        lock = state_folder(config) / "daemon.lock"
        lock.parent.mkdir(parents=True)
        lock.touch()
        os.utime(lock, (0, 0))
    daemon = Daemon(config, load(config))
    starters = [threading.Thread(target=daemon.start) for _ in range(8)]
    for each in starters:
        each.start()
    for each in starters:
        each.join(PATIENCE)
    assert starts == [1]

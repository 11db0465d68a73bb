"""Three processes of a gateway behind nginx, one of which is killed under load."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from routermcp import RouterMCPClient
from routermcp.gateway import Caller
from routermcp.types import MCPError, TransportError
from tests.gateway.servers import ERAS, Shop, serving
from tests.gateway.sessions.redis_server import redis_server
from tests.programs import PATIENCE, free_port, program, wait_for

ROOT = Path(__file__).resolve().parents[3]
WORKERS = 3
CLIENTS = 4
CALLERS = 16

#: Seconds of load, and after how many of them a worker dies.
LOAD = 3.0
DEATH = 1.0

NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log {folder}/access.log combined;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  log_format worker '$upstream_addr';
  access_log {folder}/workers.log worker;
  upstream gateway {{ {servers} keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host localhost;
    proxy_buffering off; proxy_next_upstream off;
    location / {{ proxy_pass http://gateway; }}
  }}
}}
"""


class Ledger(Shop):
    """A server that notes each call by the id that its caller gave it."""

    def __init__(self) -> None:
        super().__init__(["note"])
        self.noted: Counter[str] = Counter()

    async def note(self, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        self.noted[str(arguments["id"])] += 1
        await asyncio.sleep(0.01)
        return {"content": [{"type": "text", "text": str(arguments["id"])}]}


@contextmanager
def started(command: list[str], port: int, output: Path) -> Generator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'adapters'}"}
    with output.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        try:
            wait_for(port, process)
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)


class Fleet:
    def __init__(
        self, url: str, ledger: Ledger, workers: list[subprocess.Popen[bytes]], folder: Path
    ) -> None:
        self.url, self.ledger, self.workers, self._folder = url, ledger, workers, folder

    def served(self) -> set[str]:
        """The workers that nginx gave requests to."""
        return set((self._folder / "workers.log").read_text().split())

    def said(self) -> str:
        return "".join((self._folder / f"worker-{n}.log").read_text() for n in range(WORKERS))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    ledger = Ledger()
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(tmp_path))
        upstream = stack.enter_context(serving(ledger))
        ports = [free_port() for _ in range(WORKERS)]
        workers: list[subprocess.Popen[bytes]] = []
        for number, port in enumerate(ports):
            script = str(ROOT / "tests" / "gateway" / "sessions" / "replica.py")
            command = [sys.executable, script, str(port), redis.url, upstream]
            workers.append(stack.enter_context(started(command, port, tmp_path / f"worker-{number}.log")))
        front = free_port()
        servers = " ".join(f"server 127.0.0.1:{port};" for port in ports)
        configuration = tmp_path / "nginx.conf"
        configuration.write_text(NGINX.format(folder=tmp_path, port=front, servers=servers))
        nginx = [str(program("nginx", "nginx-light")), "-p", str(tmp_path), "-c", str(configuration)]
        stack.enter_context(started(nginx, front, tmp_path / "nginx.log"))
        yield Fleet(f"http://127.0.0.1:{front}/mcp", ledger, workers, tmp_path)


class Load:
    """Callers that call as fast as they are answered, each call under an id of its own."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.given = 0
        self.done: list[str] = []
        self.done_after_death = 0
        self.failed: list[MCPError] = []

    async def run(self, era: str) -> None:
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(RouterMCPClient(url=self._fleet.url, protocol=era))
                for _ in range(CLIENTS)
            ]
            until = time.monotonic() + LOAD
            async with asyncio.TaskGroup() as group:
                for caller in range(CALLERS):
                    group.create_task(self._call(clients[caller % CLIENTS], caller, until))
                group.create_task(self._kill())

    async def _call(self, client: RouterMCPClient, caller: int, until: float) -> None:
        number = 0
        while time.monotonic() < until:
            name, number = f"{caller}-{number}", number + 1
            dead = self._fleet.workers[0].returncode is not None
            self.given += 1
            try:
                assert (await client.call_tool("shop.note", {"id": name})).text == name
            except MCPError as error:
                self.failed.append(error)
            else:
                self.done.append(name)
                self.done_after_death += dead

    async def _kill(self) -> None:
        await asyncio.sleep(DEATH)
        self._fleet.workers[0].kill()
        self._fleet.workers[0].wait(PATIENCE)


@pytest.mark.interop
@pytest.mark.parametrize("era", ERAS)
def test_a_worker_that_dies_costs_what_it_was_doing_and_no_more(fleet: Fleet, era: str) -> None:
    load, ledger = Load(fleet), fleet.ledger
    asyncio.run(load.run(era))
    assert load.given == len(load.done) + len(load.failed)
    assert len(fleet.served()) >= WORKERS, "they took turns"
    assert load.done_after_death > len(load.done) / 4, "the others went on"
    assert len(load.failed) <= CALLERS * 2, "only what was under way, and that by which it was noticed"
    assert all(isinstance(error, TransportError) for error in load.failed), load.failed
    assert {name: times for name, times in ledger.noted.items() if times > 1} == {}, "nothing ran twice"
    assert set(load.done) <= set(ledger.noted)
    assert "Traceback" not in fleet.said()

"""Whose program listens on a port: only the user's own is sent a key by `routermcp connect`."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from routermcp.cli.daemon import Daemon
from routermcp.gateway.config.file import parse
from routermcp.gateway.serving import port_owner
from routermcp.gateway.serving.port_owner import listening_users, listens_for_another_user

LINE = " {n}: 0100007F:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {user} 0 1 1 0"


def table(*entries: tuple[int, str, int]) -> list[str]:
    lines = [
        LINE.format(n=n, port=port, state=state, user=user) for n, (port, state, user) in enumerate(entries)
    ]
    return ["  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid", *lines]


def test_the_users_that_listen_on_a_port_are_found() -> None:
    lines = table((8000, "0A", 7), (8001, "0A", 8), (8000, "01", 9), (8000, "0A", 10))
    assert list(listening_users([*lines, "", "odd"], 8000)) == [7, 10]


def test_a_port_of_this_user_or_of_none_is_not_of_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not listens_for_another_user(port)
    assert not listens_for_another_user(port)


def test_a_program_of_another_user_is_not_sent_the_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        sockets = tmp_path / "tcp"
        sockets.write_text("\n".join(table((port, "0A", os.getuid() + 1))))
        monkeypatch.setattr(port_owner, "TABLES", (tmp_path / "missing", sockets))
        text = f'{{"httpServer": {{"port": {port}}}, "auth": {{"apiKeys": ["rmc_secret"]}}}}'
        daemon = Daemon(tmp_path / "routermcp.jsonc", parse(text, source="it", environ={}))
        monkeypatch.setattr(daemon, "start", lambda: "started")
        assert daemon.ensure() == "started"
        with pytest.raises(BlockingIOError):  # nothing has connected
            listener.accept()

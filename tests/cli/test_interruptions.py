"""Signals at any moment of a start: the program ends quietly, with the right code."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .gateway_programs import PATIENCE, environment

#: Runs the command line; signals come when chosen modules are imported.
SIGNALLED = """
import signal, sys
from routermcp_cli import main
signals = {signals!r}
class Signaller:
    def find_spec(self, name, path=None, target=None):
        if name in signals:
            signal.raise_signal(signals.pop(name))
sys.meta_path.insert(0, Signaller())
sys.exit(main())
"""

pytestmark = [
    pytest.mark.usefixtures("ctrl_c"),
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP"),
]


def ended(source: str, *arguments: str, cwd: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("moment", ["routermcp", "pydantic", "routermcp.cli.app", "uvicorn"])
def test_ctrl_c_while_serve_starts_ends_with_130(tmp_path: Path, moment: str) -> None:
    (tmp_path / "routermcp.jsonc").write_text("{}")
    source = SIGNALLED.format(signals={moment: int(signal.SIGINT)})
    assert ended(source, "serve", "--port", "0", cwd=tmp_path) == (130, "", "")


def test_ctrl_c_while_the_package_is_imported_as_a_program_ends_with_130(tmp_path: Path) -> None:
    """``python -m routermcp`` imports it before any line of the program."""
    source = """
import runpy, signal, sys
class Signaller:
    def find_spec(self, name, path=None, target=None):
        if name == "routermcp._async":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Signaller())
sys.argv, sys.orig_argv = ["-m", "ping"], [sys.executable, "-m", "routermcp", "ping"]
runpy.run_module("routermcp", run_name="__main__")
"""
    assert ended(source, cwd=tmp_path) == (130, "", "")


def test_a_hangup_while_serve_starts_does_not_end_it(tmp_path: Path) -> None:
    (tmp_path / "routermcp.jsonc").write_text("{}")
    signals = {"routermcp.cli": int(signal.SIGHUP), "uvicorn": int(signal.SIGTERM)}
    ending = ended(SIGNALLED.format(signals=signals), "serve", "--port", "0", cwd=tmp_path)
    assert ending == (-signal.SIGTERM, "", "")


def test_a_hangup_ends_other_commands(tmp_path: Path) -> None:
    source = SIGNALLED.format(signals={"routermcp": int(signal.SIGHUP)})
    assert ended(source, "tools", cwd=tmp_path) == (-signal.SIGHUP, "", "")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=lambda ending: ending.name)
def test_the_supervisor_of_workers_takes_signals_for_them(tmp_path: Path, ending: signal.Signals) -> None:
    """Those of a terminal, sent to all, end none that starts; many SIGHUP are one; a reload delays no end."""
    source = """
import os, signal, socket, subprocess, sys
ending = signal.Signals(int(sys.argv[1]))
from multiprocessing import resource_tracker
import uvicorn
from uvicorn.supervisors import Multiprocess
from routermcp.gateway.serving.supervisor import Supervisor
starting = "from signal import *; [raise_signal(each) for each in (SIGINT, SIGHUP)]; print('started')"
hangups = []
def start(self):
    os.kill(resource_tracker._resource_tracker._pid, signal.SIGHUP)  # a terminal reaches it, too
    subprocess.run([sys.executable, "-S", "-c", starting], check=True)
    os.kill(os.getpid(), signal.SIGHUP)
Multiprocess.init_processes = start
class Started(Supervisor):
    def restart_all(self):
        if len(hangups) == 2:
            assert not self._ending.is_set()
            os.kill(os.getpid(), ending)
            assert self._ending.is_set(), "a reload holds up the end"
def may_restart():
    hangups.append(1)
    for _ in range(0 if hangups[1:] else 20):
        os.kill(os.getpid(), signal.SIGHUP)
    return True
config = uvicorn.Config("unused", workers=1, log_config=None)
supervisor = Started(config, socket.socket(), may_restart, 0.0)
supervisor.run()
resource_tracker.getfd()  # it warns where its process has died
print(supervisor.interrupted, supervisor.failed, len(hangups))
"""
    interrupted = ending is signal.SIGINT
    assert ended(source, str(int(ending)), cwd=tmp_path) == (0, f"started\n{interrupted} False 2\n", "")


def test_ctrl_c_in_a_finalizer_is_not_lost(tmp_path: Path) -> None:
    source = """
import signal, sys, types
class Finalized:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
def run(argv):
    Finalized()
    return 0
sys.modules["routermcp"] = types.ModuleType("routermcp")
sys.modules["routermcp.cli"] = cli = types.ModuleType("routermcp.cli")
cli.loaded = lambda: run
from routermcp_cli import main
sys.exit(main())
"""
    assert ended(source, cwd=tmp_path) == (130, "", "")


def test_the_program_is_ready_for_signals_before_it_imports_anything_large(tmp_path: Path) -> None:
    source = """
import re, sys  # as the script of pip does
before = set(sys.modules)
import routermcp_cli
print(*sorted(set(sys.modules) - before))
"""
    assert ended(source, cwd=tmp_path) == (0, "__future__ routermcp_cli signal\n", "")

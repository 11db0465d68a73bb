"""The programs of a page, written to files and run as a reader does.

A page of the tutorial has two kinds of blocks. A Python block begins with the name of its file,
``# first_call.py``. A block of a terminal (``console``) has commands after ``$``, each followed by what it
prints. :class:`Terminal` runs these commands in this process, as an interpreter for each would take half a
second: ``python FILE``, ``pytest``, ``routermcp`` and ``export``. Other commands (``pip install``, servers
that run beside) belong into blocks of ``shell``, which show nothing that they print.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from routermcp import cli
from tests.inner_pytest import run_pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial"

#: Where the pages have their servers, one after the other.
EXAMPLE_URL = "http://127.0.0.1:9000"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./]+)\n")


class Block(NamedTuple):
    """A block of code of a page."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that it is, None where it is none."""
        named = _FILE.match(self.text) if self.language == "python" else None
        return named[1] if named else None


class Step(NamedTuple):
    """A command of a terminal, and what it prints."""

    command: str
    printed: str


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page."""
    return [Block(*found) for found in _BLOCK.findall(page.read_text())]


def steps(text: str) -> list[Step]:
    """Return the commands of a block of a terminal."""
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
    return [Step(command, printed) for command, printed in found]


class Terminal:
    """A folder with the files of a page, in which its commands are run.

    Args:
        folder: The folder.
        url: Where the server is that the page has at :data:`EXAMPLE_URL`.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        pytester: pytest.Pytester,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self._folder = folder
        self._url = url
        self._pytester = pytester
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(folder)

    def save(self, block: Block) -> None:
        """Write a Python block to its file."""
        assert block.file is not None, f"name its file in the first line: {block.text[:60]}"
        path = self._folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text.replace(EXAMPLE_URL, self._url))

    def run(self, command: str) -> str:
        """Run a command and return what it prints, on both streams."""
        program, *arguments = shlex.split(command.replace(EXAMPLE_URL, self._url))
        run: Callable[[list[str]], None] = {
            "export": self._export,
            "python": self._python,
            "pytest": self._pytest,
            "routermcp": self._routermcp,
        }[program]
        with self._monkeypatch.context() as patched:
            loaded = set(sys.modules)
            patched.setattr(sys, "argv", arguments)
            run(arguments)
            for name in set(sys.modules) - loaded:
                path = getattr(sys.modules[name], "__file__", None)
                if path and self._folder in Path(path).parents:
                    del sys.modules[name]
        printed = self._capsys.readouterr()
        return (printed.out + printed.err).replace(self._url, EXAMPLE_URL)

    def _export(self, arguments: list[str]) -> None:
        for each in arguments:
            self._monkeypatch.setenv(*each.split("=", 1))

    def _python(self, arguments: list[str]) -> None:
        path = self._folder / arguments[0]
        try:
            exec(compile(path.read_text(), path, "exec"), {"__name__": "__main__", "__file__": str(path)})
        except SystemExit as ended:
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)

    def _pytest(self, arguments: list[str]) -> None:
        self._capsys.readouterr()
        run_pytest(self._pytester, *arguments)
        printed = self._capsys.readouterr()
        # Neither the folder nor the time is the same on any two machines.
        print(re.sub(r" in \d+\.\d+s", " in 0.05s", printed.out), end="")

    def _routermcp(self, arguments: list[str]) -> None:
        cli.main(arguments)

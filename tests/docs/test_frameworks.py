"""The pages of the tutorial with packages of others, run in an environment that has these."""

from __future__ import annotations

import ast
import asyncio
import html
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from hypothesis import settings
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from tests import loopback
from tests.docs.pages import DOCS, EXAMPLE_URL, ROOT, TUTORIAL, blocks, steps
from tests.programs import free_port, wait_for
from tests.third_party import (
    FASTAPI_REQUIREMENTS,
    WORKERS_REQUIREMENTS,
    UnavailableError,
    python_environment,
    skips_are_failures,
)

EXAMPLES = DOCS / "examples"

ONE_CLIENT = DOCS / "how-to" / "fastapi.md"

#: Whether the long profile is asked for: ``.ci/run --full``.
LONG = settings.get_current_profile_name() == "long"

#: Seconds for a program that loads a framework, or waits for workers or a kernel.
PATIENCE = 100.0

#: A pytest without the settings of this project, whose plugins are not there, that writes nothing.
PLAIN_PYTEST = ("-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider")

#: Serves two applications of the examples in one process, as starting each would take a second, and tells
#: where. The ports are taken before the applications are told of them.
SERVE = """
import asyncio, os, socket, uvicorn
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
notes_url, app_url = (f"http://127.0.0.1:{each.getsockname()[1]}" for each in sockets)
os.environ.update(MCP_URL=notes_url + "/mcp", PUBLIC_URL=app_url)
from fastapi_sign_in import app
from notes_server import app as notes
print(app_url, flush=True)

async def main():
    servers = [uvicorn.Server(uvicorn.Config(each, log_level="warning")) for each in (notes, app)]
    await asyncio.gather(*(server.serve([each]) for server, each in zip(servers, sockets)))

asyncio.run(main())
"""


def environment(requirements: tuple[str, ...]) -> Path:
    """Return the interpreter of an environment, or skip the test where it cannot be made."""
    try:
        return python_environment(*requirements)
    except UnavailableError as missing:
        if skips_are_failures():
            raise
        pytest.skip(str(missing))


def environment_of(variables: dict[str, str]) -> dict[str, str]:
    """Return the variables of a program that uses this project."""
    path = f"{ROOT}{os.pathsep}{ROOT / 'adapters'}"
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **variables}


@contextmanager
def running(
    *command: str | Path, folder: Path, ports: Sequence[int] = (), **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until it listens, and end it."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment_of(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        for port in ports:
            wait_for(port, process, patience=PATIENCE)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE)
    assert b"Traceback" not in said, said.decode()


# ---- pages with servers of others ----------------------------------------------------------------


class Shell:
    """A shell in a folder with the files of a page, and the environment with the frameworks.

    Args:
        folder: The folder.
        url: The origin of the server that the page starts with ``routermcp proxy``.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._places = {EXAMPLE_URL: url, "8000": str(free_port())}
        self._programs = environment(WORKERS_REQUIREMENTS).parent
        self._environment = {
            "PATH": f"{self._programs}{os.pathsep}{os.environ['PATH']}",
            "PYTEST_PLUGINS": "routermcp_pytest",
        }

    def here(self, text: str) -> str:
        """Return a text of the page with the ports that are free here."""
        for there, here in self._places.items():
            text = text.replace(there, here)
        return text

    def start(self, command: str) -> AbstractContextManager[object]:
        """Run a server while the context is entered."""
        program, *arguments = shlex.split(self.here(command))
        ports = [int(self._places["8000"])] if "8000" in command else []
        return running(
            self._programs / program, *arguments, folder=self._folder, ports=ports, **self._environment
        )

    def run(self, command: str) -> str:
        """Run a command and return what it prints."""
        program, *arguments = shlex.split(self.here(command))
        if program == "curl":
            return loopback.get(arguments[-1], timeout=PATIENCE).text
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            env=environment_of(self._environment),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return re.sub(r" in \d+\.\d+s", " in 0.05s", done.stdout + done.stderr)


@pytest.mark.parametrize("name", ["django", "workers"])
def test_a_page_prints_what_it_shows(name: str, url: str, tmp_path: Path) -> None:
    """The short form only sees whether its programs are ones: starting the servers takes half a minute."""
    shell = Shell(tmp_path, url) if LONG else None
    with ExitStack() as servers:
        for block in blocks(TUTORIAL / f"{name}.md"):
            if block.language == "python":
                assert block.file is not None
                compile(block.text, block.file, "exec")
            if shell is None:
                continue
            if block.language == "python" and block.file:
                (tmp_path / block.file).write_text(shell.here(block.text))
            elif block.language == "shell" and not block.text.startswith(("pip", "routermcp")):
                servers.enter_context(shell.start(block.text))
            elif block.language == "console":
                for command, printed in steps(block.text):
                    assert shell.run(command).rstrip("\n") == printed.rstrip("\n"), command


# ---- the notebook --------------------------------------------------------------------------------

#: Runs the notebook in a kernel, and prints what its cells print.
EXECUTE = """
import json, sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=60).execute()
print(json.dumps(["".join(output.get("text", output["output_type"]) for output in cell.outputs)
                  for cell in notebook.cells if cell.cell_type == "code"]))
"""


def in_a_loop(cells: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Execute the cells of a notebook in a running loop, as a kernel does, and return what they print."""

    async def execute() -> list[str]:
        names: dict[str, Any] = {"__name__": "__main__"}
        printed: list[str] = []
        for cell in cells:
            waits = eval(compile(cell, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            if waits is not None:
                await waits
            printed.append(capsys.readouterr().out)
        return printed

    return asyncio.run(execute())


def test_the_notebook_is_its_page_and_prints_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    path = TUTORIAL / "notebook.ipynb"
    subprocess.run([sys.executable, ROOT / "scripts" / "notebook.py", "--check"], check=True)
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    shown = ["".join("".join(output["text"]) for output in cell["outputs"]) for cell in cells]
    assert in_a_loop(["".join(cell["source"]) for cell in cells], capsys) == shown
    if LONG:
        done = subprocess.run(
            [environment(WORKERS_REQUIREMENTS), "-c", EXECUTE, path],
            env=environment_of({}),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == shown


# ---- FastAPI -------------------------------------------------------------------------------------


def test_the_blocks_of_the_fastapi_page_are_its_program() -> None:
    written = [block.text for block in blocks(TUTORIAL / "fastapi.md") if block.language == "python"]
    assert "\n\n".join(written) == (EXAMPLES / "fastapi_sign_in.py").read_text()


def test_the_page_of_one_client_is_its_program_and_its_test() -> None:
    written = [block.text for block in blocks(ONE_CLIENT) if block.language == "python"]
    assert written[:2] == [
        (EXAMPLES / name).read_text() for name in ("fastapi_tools.py", "test_fastapi_tools.py")
    ]
    done = subprocess.run(
        [environment(FASTAPI_REQUIREMENTS), "-m", "pytest", "-q", *PLAIN_PYTEST, "test_fastapi_tools.py"],
        cwd=EXAMPLES,
        env=environment_of({"PYTEST_PLUGINS": "routermcp_pytest"}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_a_call_carries_the_trace_of_its_route() -> None:
    names: dict[str, Any] = {}
    exec([block for block in blocks(ONE_CLIENT) if block.language == "python"][-1].text, names)
    route = SpanContext(trace_id=7, span_id=9, is_remote=False, trace_flags=TraceFlags(1))
    with use_span(NonRecordingSpan(route)):
        assert names["trace_context"]() == {"traceparent": f"00-{7:032x}-{9:016x}-01"}


class Browser:
    """The browser of a user of the application."""

    def __init__(self, site: str) -> None:
        self._http = loopback.Client(follow_redirects=True, timeout=PATIENCE)
        self._site = site

    def get(self, path: str) -> httpx.Response:
        return self._http.get(self._site + path)

    def post(self, path: str, **form: str) -> httpx.Response:
        return self._http.post(self._site + path, data=form)

    def sign_in(self, page: httpx.Response, user: str) -> httpx.Response:
        """Follow the link of a user on the page of the authorization server."""
        return self._http.get(page.url.join(self.links(page)[user]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def links(self, page: httpx.Response) -> dict[str, str]:
        return {
            user: html.unescape(link)
            for link, user in re.findall(r'href="(.*?)">Sign in as (\w+)', page.text)
        }

    def back(self, page: httpx.Response, user: str) -> str:
        """Return the URL that a user is sent back to, without going there."""
        answer = self._http.get(page.url.join(self.links(page)[user]), follow_redirects=False)
        return answer.headers["location"].removeprefix(self._site)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = [environment(FASTAPI_REQUIREMENTS), "-c", SERVE]
    with running(*command, folder=EXAMPLES, TOKENS=str(tmp_path_factory.mktemp("tokens"))) as process:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()


def test_two_users_see_their_own_things(site: str) -> None:
    with Browser(site) as ada, Browser(site) as bob:
        for browser, user in ((ada, "ada"), (bob, "bob")):
            asked = browser.get("/notes")
            assert set(browser.links(asked)) == {"ada", "bob"}
            assert f"Notes of {user}" in browser.sign_in(asked, user).text
        assert ada.get("/tools").json() == ["add_note", "notes"]
        assert "<li>buy &lt;milk&gt;</li>" in ada.post("/notes", text="buy <milk>").text
        assert "milk" not in bob.get("/notes").text

        assert "Your notes" in ada.post("/sign-out").text
        assert ada.links(ada.get("/notes")), "she is asked to sign in"
        assert "Notes of bob" in bob.get("/notes").text


def test_nobody_signs_in_in_place_of_another(site: str) -> None:
    with Browser(site) as ada, Browser(site) as mallory:
        back = mallory.back(mallory.get("/notes"), "bob")
        assert ada.get(back).status_code == 400
        assert ada.links(ada.get("/notes")), "she is not signed in"

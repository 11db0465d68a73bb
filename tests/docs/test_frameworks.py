"""The pages of the tutorial with packages of others, run in an environment that has these."""

from __future__ import annotations

import html
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests import loopback
from tests.docs.pages import DOCS, ROOT, TUTORIAL, blocks
from tests.programs import PATIENCE, free_port, wait_for
from tests.third_party import (
    FASTAPI_REQUIREMENTS,
    UnavailableError,
    python_environment,
    skips_are_failures,
)

EXAMPLES = DOCS / "examples"

#: Serves two applications of the examples in one process, as starting each would take a second.
SERVE = """
import asyncio, sys, uvicorn
from fastapi_sign_in import app
from notes_server import app as notes

async def main():
    servers = [uvicorn.Server(uvicorn.Config(each, port=int(port), log_level="warning"))
               for each, port in zip((notes, app), sys.argv[1:])]
    await asyncio.gather(*(server.serve() for server in servers))

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


@contextmanager
def running(*command: str | Path, folder: Path, ports: list[int], **environment: str) -> Iterator[None]:
    """Run a program until it listens, and end it."""
    path = f"{ROOT}{os.pathsep}{ROOT / 'adapters'}"
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stderr=subprocess.PIPE,
    )
    try:
        for port in ports:
            wait_for(port, process)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE)
    assert b"Traceback" not in said, said.decode()


# ---- FastAPI -------------------------------------------------------------------------------------


def test_the_blocks_of_the_fastapi_page_are_its_program() -> None:
    written = [block.text for block in blocks(TUTORIAL / "fastapi.md") if block.language == "python"]
    assert "\n\n".join(written) == (EXAMPLES / "fastapi_sign_in.py").read_text()


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
    notes, app = free_port(), free_port()
    settings: dict[str, Any] = {
        "MCP_URL": f"http://127.0.0.1:{notes}/mcp",
        "PUBLIC_URL": f"http://127.0.0.1:{app}",
        "TOKENS": str(tmp_path_factory.mktemp("tokens")),
    }
    command = [environment(FASTAPI_REQUIREMENTS), "-c", SERVE, str(notes), str(app)]
    with running(*command, folder=EXAMPLES, ports=[notes, app], **settings):
        yield f"http://127.0.0.1:{app}"


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

"""Progress bars: what a user sees of the reports of a call."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from pytest_examples import CodeExample, find_examples
from tqdm import tqdm

from routermcp import SyncRouterMCPClient
from routermcp.progress import ProgressBar
from routermcp.testing import FakeServer, Report
from routermcp.types import Progress

PAGE = Path(__file__).resolve().parents[2] / "docs" / "notebooks.md"


@pytest.fixture(autouse=True)
def _no_monitor_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tqdm, "monitor_interval", 0)


@pytest.fixture
def screen() -> Iterator[io.StringIO]:
    with io.StringIO() as screen:
        yield screen


def last_line(screen: io.StringIO) -> str:
    return screen.getvalue().rstrip().rpartition("\r")[2]


def shown(screen: io.StringIO, *reports: Progress) -> str:
    with ProgressBar("count", file=screen, ncols=80, mininterval=0) as bar:
        for report in reports:
            bar(report)
    return last_line(screen)


def test_a_call_moves_the_bar(screen: io.StringIO) -> None:
    server = FakeServer()

    @server.tool
    def count() -> Generator[Report, None, str]:
        yield Report(1, 4)
        yield Report(4, 4, "last page")
        return "done"

    with (
        SyncRouterMCPClient(transport=server) as client,
        ProgressBar("count", file=screen, ncols=80, mininterval=0) as bar,
    ):
        assert client.call_tool("count", on_progress=bar).text == "done"
    line = last_line(screen)
    assert line.startswith("count: 100%")
    assert "4/4" in line.replace(".0", "")
    assert "last page" in line


def test_a_total_may_come_late_and_progress_may_go_back(screen: io.StringIO) -> None:
    line = shown(screen, Progress(progress=5), Progress(progress=2, total=8))
    assert line.startswith("count:  25%")


def test_numbers_that_cannot_be_drawn_are_left_out(screen: io.StringIO) -> None:
    line = shown(screen, Progress(progress=1, total=float("inf")), Progress(progress=float("nan"), total=4))
    assert line.startswith("count: 1")


def test_a_message_does_not_move_the_cursor(screen: io.StringIO) -> None:
    line = shown(screen, Progress(progress=1, total=2, message="\x1b[2J\nmail\r" + "x" * 500))
    assert "\x1b[2J" not in screen.getvalue()
    assert " [2J mail x" in line
    assert len(line) <= 80


@pytest.mark.parametrize("example", [*find_examples(str(PAGE))], ids=lambda each: str(each.start_line))
def test_the_examples_of_the_page_run(example: CodeExample, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(example.source, str(PAGE), "exec", dont_inherit=True), names)
    if "ProgressBar" in names:
        assert "3/3" in capsys.readouterr().err.replace(".0", "")

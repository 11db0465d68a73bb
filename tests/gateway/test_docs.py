"""The guides: their configurations are ones, their example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from routermcp.gateway.config_file import parse
from tests.gateway.servers import Shop, serving

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDE = (DOCS / "gateway.md").read_text()
VARIABLES = {"GATEWAY_KEY": "rmc_key", "GITHUB_TOKEN": "token"}


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return found


def test_configurations(caplog: pytest.LogCaptureFixture) -> None:
    guide = parse(block("jsonc"), source="gateway.md", environ=VARIABLES)
    assert set(guide.enabled_servers) == {"time", "github"}
    text = (DOCS / "deployment" / "routermcp.jsonc").read_text()
    deployed = parse(text, source="routermcp.jsonc", environ=VARIABLES)
    assert deployed.session.store is not None
    assert deployed.auth.mode == "api_key"
    assert not caplog.records, "no key is unknown"


def test_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Shop()) as url:
        source = block("python").replace("http://127.0.0.1:8000/mcp", url)
        exec(compile(source, "gateway.md", "exec"), {"__name__": "__main__"})
    tools, total = capsys.readouterr().out.splitlines()
    assert "'demo.add'" in tools
    assert total == "3"

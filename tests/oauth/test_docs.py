"""The guide: its examples are ones."""

from __future__ import annotations

import re
from pathlib import Path

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "oauth.md").read_text()


def test_the_examples_can_be_made() -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        exec(compile(block, "oauth.md", "exec"), {"__name__": "__main__"})

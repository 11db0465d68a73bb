"""Write the pages of docs/reference/ that are tables: commands, settings, configuration and errors.

::

    python scripts/reference.py [--check]

``--check`` fails where a page differs from what the code says.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from tables.commands import commands_page  # noqa: E402
from tables.configuration import configuration_page  # noqa: E402
from tables.errors import errors_page  # noqa: E402
from tables.settings import settings_page  # noqa: E402

PAGES = ROOT / "docs" / "reference"


def _has(page: Path, text: str) -> bool:
    return page.exists() and page.read_text() == text


def main() -> int:
    """Write the pages, or compare them; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail where a page is stale")
    options = parser.parse_args()
    written = {
        "commands.md": commands_page(),
        "configuration.md": configuration_page(),
        "errors.md": errors_page(),
        "settings.md": settings_page(),
    }
    stale = [name for name, text in written.items() if not _has(PAGES / name, text)]
    if options.check:
        said = f"stale in docs/reference: {', '.join(stale)}; run scripts/reference.py"
        print(said if stale else "docs/reference is fresh")
        return 1 if stale else 0
    for name, text in written.items():
        (PAGES / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

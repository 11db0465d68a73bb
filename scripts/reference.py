"""Write the pages of docs/reference/ that are tables: commands, settings, configuration and errors.

::

    python scripts/reference.py [--check]

``--check`` fails where a page differs from what the code says.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from generated_files import write_or_check  # noqa: E402
from tables.commands import commands_page  # noqa: E402
from tables.configuration import configuration_page  # noqa: E402
from tables.errors import errors_page  # noqa: E402
from tables.settings import settings_page  # noqa: E402

PAGES = ROOT / "docs" / "reference"


def main() -> int:
    """Write the pages, or compare them; return the exit code."""
    return write_or_check(
        PAGES,
        {
            "commands.md": commands_page(),
            "configuration.md": configuration_page(),
            "errors.md": errors_page(),
            "settings.md": settings_page(),
        },
    )


if __name__ == "__main__":
    sys.exit(main())

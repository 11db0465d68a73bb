"""Draws the pictures of the README and of docs/ from the code, and from what was measured.

::

    python scripts/pictures.py [--check]

* ``packages.svg``: the parts of the project and their rooms (modules and folders), with arrows for
  the imports, as the source has them.
* ``call.svg``: one ``await client.call_tool()``, recorded with ``sys.setprofile``.
* ``sign-in.svg``: the requests of a sign-in, recorded from the flow of the core.
* ``states.svg``: the transitions of :mod:`routermcp_proto.states`.
* ``demo.svg``: ``routermcp demo`` in a terminal, as docs/pictures/demo.txt has it.
* ``walls.svg``: the outcomes of docs/reliability.md and docs/compatibility.md.

``--check`` draws all and fails where a file differs.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from drawing.call import draw_call  # noqa: E402
from drawing.packages import draw_packages  # noqa: E402
from drawing.sign_in import draw_sign_in  # noqa: E402
from drawing.states import draw_states  # noqa: E402
from drawing.terminal import draw_demo  # noqa: E402
from drawing.walls import draw_walls  # noqa: E402
from generated_files import write_or_check  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"


def main() -> int:
    """Write the pictures, or compare them; return the exit code."""
    return write_or_check(
        PICTURES,
        {
            "packages.svg": draw_packages(),
            "call.svg": draw_call(),
            "sign-in.svg": draw_sign_in(),
            "states.svg": draw_states(),
            "demo.svg": draw_demo(),
            "walls.svg": draw_walls(),
        },
    )


if __name__ == "__main__":
    sys.exit(main())

"""Files that a script makes and that are checked in: written anew, or compared with what is there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def write_or_check(folder: Path, texts: Mapping[str, str]) -> int:
    """Write the files of a folder, or with ``--check`` on the command line compare them.

    Args:
        folder: Where they are.
        texts: What each of them holds, by its name.

    Returns:
        The exit code: 1 where a file is stale.
    """
    place, script = folder.relative_to(ROOT), Path(sys.argv[0]).name
    stale = [name for name, text in texts.items() if not _holds(folder / name, text)]
    if "--check" in sys.argv[1:]:
        said = f"stale in {place}: {', '.join(stale)}; run scripts/{script}"
        print(said if stale else f"{place} is fresh")
        return 1 if stale else 0
    folder.mkdir(exist_ok=True)
    for name in stale:
        (folder / name).write_text(texts[name])
    print(f"wrote {', '.join(stale) or 'nothing, all is fresh'} in {place}")
    return 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text

"""Progress bars for long calls, in notebooks and terminals, by tqdm.

It is loaded with this module alone (``pip install '.[progress]'``).
"""

from __future__ import annotations

from math import isfinite
from typing import Any, Final, Self

from tqdm.auto import tqdm

from .types import Progress

#: Characters of a server's message beside the bar: what a line of 80 has room for.
MAX_MESSAGE_CHARS: Final = 40


class ProgressBar:
    """A bar that shows the reports of one call, as its ``on_progress``.

    ::

        with ProgressBar("count") as bar:
            client.call_tool("count", {"to": 3}, on_progress=bar)

    It works with each of the clients. What a server writes in a message is shown without the characters
    that would move the cursor.

    Args:
        description: The words before the bar.
        settings: More arguments of ``tqdm``, such as ``leave=False`` or ``unit="page"``.
    """

    def __init__(self, description: str = "", **settings: Any) -> None:
        self._bar: Any = tqdm(desc=description or None, **settings)

    def __call__(self, progress: Progress) -> None:
        """Show a report; one without a number that can be drawn is left out."""
        if not isfinite(progress.progress):
            return
        total = progress.total
        if total is not None and isfinite(total) and total != self._bar.total:
            self._bar.total = total
            self._bar.refresh()
        if progress.message is not None:
            self._bar.set_postfix_str(_printable(progress.message), refresh=False)
        self._bar.update(progress.progress - self._bar.n)

    def close(self) -> None:
        """End the bar where it stands."""
        self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _printable(message: str) -> str:
    return "".join(each if each.isprintable() else " " for each in message[:MAX_MESSAGE_CHARS])

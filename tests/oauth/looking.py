"""Looking for secrets that tests have planted."""

from __future__ import annotations

import pickle
import traceback

from routermcp_proto.exceptions import causes
from tests.oauth.stores import KEY

#: What secrets of the tests' own begin with; those of the server begin with what they are.
PLANTED = "planted-secret"
TOKENS = ("access-ada", "refresh-ada", "code-")

OTHER_KEY = "bN7vQm1nR0y6ZcWl5Yl0x8m3y0D0q8oXhVtq3N2c4bE="


def shown_by(error: BaseException) -> str:
    """Return all that an error and those behind it give to see."""
    shown = "".join(traceback.format_exception(error))
    for behind in causes(error):
        shown += str(behind) + repr(behind)
    return shown + pickle.dumps(error).decode("latin-1")


def assert_clean(shown: str, *more: str) -> None:
    for secret in (PLANTED, *TOKENS, KEY, OTHER_KEY, *more):
        assert secret not in shown

"""Libraries that come with the extras ``oauth`` and ``keyring``."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from routermcp_proto.exceptions import ConfigError

#: Characters of a library's message that errors repeat.
MAX_ERROR_LINE_CHARACTERS = 200

#: After this, Redis repeats what it was asked: the password, where it doesn't know HELLO.
QUOTING = ", with args beginning with"


@contextmanager
def needs_extra(what: str, extra: str = "oauth") -> Generator[None]:
    """Raise an error that names the extra to install where a library is missing.

    Raises:
        ConfigError: One is.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"{what} needs more: pip install 'routermcp[{extra}]'") from error


def error_line(error: BaseException) -> str:
    """Return the first line of a library's error, without the content of the store.

    Further lines may repeat what the store holds.
    """
    first = next(iter(str(error).splitlines()), "").partition(QUOTING)[0].strip()
    name = type(error).__name__
    return f"{name}: {first[:MAX_ERROR_LINE_CHARACTERS]}" if first else name

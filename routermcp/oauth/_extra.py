"""Libraries that come with the extra ``oauth``."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from routermcp_proto.exceptions import ConfigError


@contextmanager
def needs_extra(what: str) -> Generator[None]:
    """Say what to install where a library is missing.

    Raises:
        ConfigError: One is.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"{what} needs more: pip install 'routermcp[oauth]'") from error

"""The API keys of a gateway, and where one has to have them."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Sequence

from routermcp_proto.exceptions import ConfigError


class APIKey:
    """A key that a client may show. Only its digest is kept, so nothing can tell it any more.

    Args:
        secret: The key itself, ``rmc_...`` at RouterMCP: visible ASCII characters.
        acts_for_users: Who shows it may say which user a request is for.

    Raises:
        ConfigError: The key is empty or cannot travel in a header.
    """

    __slots__ = ("acts_for_users", "fingerprint")

    def __init__(self, secret: str, *, acts_for_users: bool = False) -> None:
        if not is_visible(secret):
            raise ConfigError("an API key has visible ASCII characters only, and at least one")
        self.acts_for_users = acts_for_users
        self.fingerprint = _digest(secret)
        """Tells keys apart without being one."""

    def __repr__(self) -> str:
        return f"APIKey(<hidden>, acts_for_users={self.acts_for_users})"


class KeyRing:
    """All keys of a gateway.

    Args:
        keys: At least one.

    Raises:
        ConfigError: There is none, which would leave everybody out, or in.
    """

    def __init__(self, keys: Sequence[APIKey]) -> None:
        if not keys:
            raise ConfigError("no API key is given; pass keys=None to let everybody in")
        self._keys = tuple(keys)

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self._keys)}>"

    def find(self, secret: str) -> APIKey | None:
        """Return the key that somebody shows, None where it is none of ours.

        The time that it takes does not tell which keys there are: all are looked at, and by
        their digests, which have one length.
        """
        shown = _digest(secret)
        found: APIKey | None = None
        for key in self._keys:
            if hmac.compare_digest(key.fingerprint, shown):
                found = key
        return found


def check_binding(host: str, keys: Sequence[APIKey] | None) -> None:
    """See that a gateway that others can reach asks for a key.

    Args:
        host: The address or name that it is to listen on.
        keys: Its keys, None for none.

    Raises:
        ConfigError: It would let everybody in who reaches this machine.
    """
    if not keys and host != "localhost" and not is_loopback(host):
        raise ConfigError(
            f"on {host or 'all addresses'!r} everybody who reaches this machine could use the gateway "
            "and what is behind it: set an API key, or listen on 127.0.0.1"
        )


def is_loopback(address: str) -> bool:
    """Say whether an IP address is one of this machine alone."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def is_visible(text: str) -> bool:
    """Say whether a text has visible ASCII characters only, and at least one."""
    return bool(text) and all("!" <= character <= "~" for character in text)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("latin-1", "replace")).digest()

"""Keys that verify the signatures of tokens, by joserfc; imported only where tokens are configured.

Sources: RFC 7515 (signatures), RFC 7517 (keys), RFC 8725, sections 3.1 to 3.5 (an algorithm for each key).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key
from joserfc.jws import JWSRegistry, deserialize_compact

from routermcp_proto.exceptions import RemoteProtocolError

from .refusals import TokenProblem, TokenRefusedError

#: Keys of a set that are read; authorization servers publish two or three for each algorithm.
MAX_KEYS = 100

#: Keys that a token is tried with which does not name its own.
MAX_TRIED_KEYS = 8

# The member of a key that holds it, and the characters in base64 of one that is long enough: 2,048 bits for
# RSA, and the 32 bytes of SHA-256 for an HMAC (RFC 7518, sections 3.2 and 3.3).
_LENGTHS = {"RSA": ("n", 342), "oct": ("k", 43)}


class _Registry(JWSRegistry):
    """Accepts the headers that authorization servers send; which algorithm counts was decided before."""

    # The certificates of a key (``x5c``) may be among them.
    max_header_length = 8 * 1024
    # A signature by RSA with 8,192 bits, in base64.
    max_signature_length = 1_400

    def get_alg(self, name: str) -> Any:
        """Return an algorithm without the warnings for programmers."""
        return self.algorithms[name]


_REGISTRY = _Registry(strict_check_header=False)


class VerificationKeys:
    """The keys of an authorization server."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    def __repr__(self) -> str:
        return f"<VerificationKeys of {len(self._keys)}>"

    def __len__(self) -> int:
        return len(self._keys)

    def check_signature(self, token: str, algorithm: str, key_id: str | None) -> None:
        """Check the signature of a token.

        Args:
            token: The token.
            algorithm: The algorithm in its header, one of those that are allowed.
            key_id: The key that it names, None for none.

        Raises:
            TokenRefusedError: There is no such key, or none has made the signature.
        """
        keys = self._keys_for(algorithm, key_id)
        if not keys:
            problem = f"no key of the authorization server for {algorithm} is the one that the token names"
            raise TokenRefusedError(TokenProblem.UNKNOWN_KEY, problem)
        if not any(_has_signed(key, token) for key in keys):
            raise TokenRefusedError(TokenProblem.SIGNATURE, "the signature of the token is not valid")

    def _keys_for(self, algorithm: str, key_id: str | None) -> list[Key]:
        fitting = [key for key in self._keys if JWSRegistry.filter_algorithms(key, [algorithm])]
        if key_id is not None:
            # A set of one key often does not name it.
            named = [key for key in fitting if key.kid == key_id]
            fitting = named or [key for key in fitting if key.kid is None]
        return fitting[:MAX_TRIED_KEYS]


def _has_signed(key: Key, token: str) -> bool:
    try:
        deserialize_compact(token, key, registry=_REGISTRY)
    except (JoseError, ValueError):
        return False
    return True


def read_key_set(document: object) -> VerificationKeys:
    """Read a JSON Web Key Set; keys that cannot be used are left out (RFC 7517, section 5).

    Raises:
        RemoteProtocolError: It is no key set, or no key in it can be used.
    """
    entries: object = (
        cast("Mapping[str, Any]", document).get("keys") if isinstance(document, Mapping) else None
    )
    if not isinstance(entries, list | tuple):
        raise RemoteProtocolError('this is no JSON Web Key Set: it has no list of "keys"')
    read = (_read_key(entry) for entry in cast("Sequence[object]", entries)[:MAX_KEYS])
    keys = [key for key in read if key is not None]
    if not keys:
        raise RemoteProtocolError("the key set has no key for signatures that can be used")
    return VerificationKeys(keys)


def _read_key(entry: object) -> Key | None:
    if not isinstance(entry, Mapping):
        return None
    # Some servers write null for what they do not say.
    members = {name: value for name, value in cast("Mapping[str, Any]", entry).items() if value is not None}
    name, length = _LENGTHS.get(str(members.get("kty")), ("kty", 0))
    if len(str(members.get(name))) < length:
        return None
    try:
        key = import_key(members)
        key.check_use("sig")
        key.check_key_op("verify")
    except Exception:  # noqa: BLE001 - of the libraries, for whatever stands there; it costs no other key
        return None
    return key

"""Tokens in Redis: for several machines."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from routermcp_proto.exceptions import ConfigError, LockLostError, TokenStoreError
from routermcp_proto.redaction import hide_in

from .._optional import error_line, needs_extra
from .base import LEASE_SECONDS, AdapterLock, Record, TokenAdapter
from .records import as_record, ids_in, object_in

T = TypeVar("T")

#: Seconds for a connection, and again for an answer.
REDIS_SECONDS = 5.0

# A hash for each user: of each server the record, and the fence of the last writer.
# KEYS: hash. ARGV: field, record, fence or "".
_SET = """
if ARGV[3] ~= "" then
  local last = tonumber(redis.call("HGET", KEYS[2], ARGV[1]) or "0")
  if last > tonumber(ARGV[3]) then return 0 end
end
redis.call("HSET", KEYS[1], ARGV[1], ARGV[2])
return 1
"""

# Takes a lock and gives it a number that no holder has had before; a holder that asks again, as
# the answer was lost, keeps its number.
# KEYS: lock, hash of fences. ARGV: token, milliseconds, field.
_ACQUIRE = """
if redis.call("GET", KEYS[1]) == ARGV[1] then
  redis.call("PEXPIRE", KEYS[1], ARGV[2])
  return redis.call("HINCRBY", KEYS[2], ARGV[3], 0)
end
if redis.call("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2]) then
  return redis.call("HINCRBY", KEYS[2], ARGV[3], 1)
end
return 0
"""

_RENEW = """
if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("PEXPIRE", KEYS[1], ARGV[2]) end
return 0
"""

_RELEASE = """
if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end
return 0
"""


def _redis_field(text: str) -> str:
    """Return an id as bytes that Redis keys may hold, whatever it is."""
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")


def _id_of_field(field: bytes) -> str:
    return base64.urlsafe_b64decode(field).decode("utf-8", "surrogatepass")


class _RedisLock:
    """A lease."""

    def __init__(self, adapter: _RedisAdapter, user_id: str, server_id: str) -> None:
        self.seconds: float | None = adapter.lease_seconds
        self.fence = 0
        self._adapter = adapter
        self._token = secrets.token_hex(16)
        self._field = _redis_field(server_id)
        self._fences = adapter.key("fences", user_id)
        self._key = adapter.key("lock", user_id) + f":{self._field}"

    def acquire(self) -> bool:
        milliseconds = int(self._adapter.lease_seconds * 1000)
        fence = self._adapter.run(
            _ACQUIRE, [self._key, self._fences], [self._token, milliseconds, self._field]
        )
        if fence:
            self.fence = fence
        return bool(fence)

    def renew(self) -> bool:
        return bool(
            self._adapter.run(_RENEW, [self._key], [self._token, int(self._adapter.lease_seconds * 1000)])
        )

    def release(self) -> None:
        self._adapter.run(_RELEASE, [self._key], [self._token])


class _RedisAdapter:
    """Keeps records in Redis."""

    inline = False
    lease_seconds = LEASE_SECONDS

    def __init__(self, url: str, prefix: str, tenant: str) -> None:
        with needs_extra("redis_adapter()"):
            import redis  # noqa: PLC0415 - of the extra ``oauth``
        self._errors = (redis.RedisError, OSError)
        try:
            # The third protocol begins with a command that older servers repeat, password and all.
            self._redis: Any = redis.Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
                url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS, protocol=2
            )
        except ValueError:
            readable = False
        else:
            readable = True
        if not readable:  # what was wrong would be shown with it
            raise ConfigError(
                "redis_adapter() cannot use that URL: redis://user:password@host:port/0, with / # ? and @ in "
                "a password as %2F %23 %3F %40"
            )
        self._prefix = f"{prefix}:{_redis_field(tenant)}"

    def __repr__(self) -> str:
        return f"<redis_adapter {self._prefix}>"

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._redis.close()

    def key(self, kind: str, user_id: str) -> str:
        """Return a key of this tenant."""
        return f"{self._prefix}:{kind}:{_redis_field(user_id)}"

    def run(self, script: str, keys: list[str], values: list[Any]) -> Any:
        """Run a script atomically."""
        return self._asked(lambda: self._redis.eval(script, len(keys), *keys, *values))

    def _asked(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except self._errors as error:
            hide_in(error, [str(self._redis.get_connection_kwargs().get("password") or "")])
            raise TokenStoreError(f"the tokens in Redis cannot be reached: {error_line(error)}") from error

    def get(self, user_id: str, server_id: str) -> Record | None:
        data = self._asked(lambda: self._redis.hget(self.key("records", user_id), _redis_field(server_id)))
        if data is None:
            return None
        return as_record(object_in(data), f"the record of {user_id!r} for {server_id!r} in Redis")

    def set(self, user_id: str, server_id: str, record: Record, *, lock: AdapterLock | None = None) -> None:
        fence = lock.fence if isinstance(lock, _RedisLock) else ""
        keys = [self.key("records", user_id), self.key("fences", user_id)]
        if not self.run(_SET, keys, [_redis_field(server_id), json.dumps(record), fence]):
            raise LockLostError(
                f"another process has renewed the tokens of {user_id!r} for {server_id!r} since"
            )

    def delete(self, user_id: str, server_id: str) -> None:
        self._asked(lambda: self._redis.hdel(self.key("records", user_id), _redis_field(server_id)))

    def list(self, user_id: str) -> list[str]:
        return ids_in(self._asked(lambda: self._redis.hkeys(self.key("records", user_id))), _id_of_field)

    def lock(self, user_id: str, server_id: str) -> AdapterLock:
        return _RedisLock(self, user_id, server_id)


def redis_adapter(url: str, *, tenant: str = "", prefix: str = "routermcp:oauth") -> TokenAdapter:
    """Keep tokens in Redis.

    Args:
        url: Such as ``redis://user:password@host:6379/0``.
        tenant: The application of these users, where several applications share the Redis.
        prefix: The prefix of all keys.

    Raises:
        ConfigError: The library ``redis`` is missing.
    """
    return _RedisAdapter(url, prefix, tenant)

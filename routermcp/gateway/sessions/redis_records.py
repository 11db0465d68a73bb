"""The records of sessions in Redis.

A session is a hash at ``routermcp:session:{id}``: ``client`` (the parameters of
``initialize``, as JSON), ``revision``, ``fact:{name}`` for each setting of the client, and the
leases of the workers that use it: ``busy:{worker}`` and ``stream:{worker}``, each with the time
at which it expires. The leases of a worker that dies expire.

``routermcp:sessions`` is a sorted set of the ids by the time at which each expires. It
bounds their number; the expiry of a session is that of its key.

Each change is one script, so that it is atomic. Scripts name keys that they were not given, so
that this needs one Redis (or its replicas) rather than a cluster.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import from_json
from redis.asyncio import Redis

from routermcp_proto import jsonrpc
from routermcp_proto.versions import REVISIONS, Era, Revision

SESSION_PREFIX = "routermcp:session:"
SESSION_INDEX = "routermcp:sessions"

#: Seconds that a worker's lease on a session lasts without a renewal. A worker that dies keeps a
#: session from being evicted, and its stream from being opened elsewhere, so long.
WORKER_LEASE_SECONDS = 15.0

#: Sessions examined to find one to evict, those that expire first. The leases of those in use are
#: renewed, so that they are the last ones.
EVICTION_CANDIDATES = 100

_COMMON = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function is_session(key)
  return redis.call('TYPE', key).ok == 'hash'
end
local function taken(key, kinds, but)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local kind, worker = string.match(fields[i], '^(%a+):(.*)$')
    if kinds[kind] and worker ~= but and (tonumber(fields[i + 1]) or 0) > now then return true end
  end
  return false
end
local function expire(id, key, wait)
  redis.call('PEXPIRE', key, wait)
  redis.call('ZADD', KEYS[1], now + wait, id)
end
local IN_USE = {busy = true, stream = true}
"""

#: KEYS: index, session. ARGV: id, worker, idle, lease, most, prefix, looked at, client, revision.
_ADMIT = (
    _COMMON
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[5]) then
  local found
  for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[7] - 1)) do
    local key = ARGV[6] .. id
    if not is_session(key) or not taken(key, IN_USE) then found = id break end
  end
  if not found then return 0 end
  redis.call('DEL', ARGV[6] .. found)
  redis.call('ZREM', KEYS[1], found)
end
redis.call('HSET', KEYS[2], 'client', ARGV[8], 'revision', ARGV[9], 'busy:' .. ARGV[2], now + ARGV[4])
expire(ARGV[1], KEYS[2], math.max(ARGV[3], ARGV[4]))
return redis.call('ZCARD', KEYS[1])
"""
)

#: KEYS: index, session. ARGV: id, worker, idle, lease, "1" where the stream is open here.
_LEASE = (
    _COMMON
    + """
if not is_session(KEYS[2]) then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return {}
end
redis.call('HSET', KEYS[2], 'busy:' .. ARGV[2], now + ARGV[4])
if ARGV[5] == '1' then redis.call('HSET', KEYS[2], 'stream:' .. ARGV[2], now + ARGV[4]) end
expire(ARGV[1], KEYS[2], math.max(ARGV[3], ARGV[4]))
return redis.call('HGETALL', KEYS[2])
"""
)

#: KEYS: index, session. ARGV: id, worker, idle, lease.
_RELEASE = (
    _COMMON
    + """
if not is_session(KEYS[2]) then return 0 end
redis.call('HDEL', KEYS[2], 'busy:' .. ARGV[2], 'stream:' .. ARGV[2])
expire(ARGV[1], KEYS[2], taken(KEYS[2], IN_USE) and math.max(ARGV[3], ARGV[4]) or ARGV[3])
return 1
"""
)

#: KEYS: index, session. ARGV: worker, lease.
_OPEN_STREAM = (
    _COMMON
    + """
if not is_session(KEYS[2]) or taken(KEYS[2], {stream = true}, ARGV[1]) then return 0 end
redis.call('HSET', KEYS[2], 'stream:' .. ARGV[1], now + ARGV[2])
return 1
"""
)

#: KEYS: index, session. ARGV: fact, "1" where it has a value, the value.
_SAVE = (
    _COMMON
    + """
if not is_session(KEYS[2]) then return 0 end
if ARGV[2] == '1' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
else redis.call('HDEL', KEYS[2], ARGV[1]) end
return 1
"""
)


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as Redis holds it."""

    client: Mapping[str, Any]
    revision: Revision
    facts: Mapping[str, str]


class SessionRecords:
    """The records of one worker's sessions in Redis.

    Every method raises what ``redis`` raises.
    """

    def __init__(
        self, redis: Redis, worker: str, max_sessions: int, idle_seconds: float, lease_seconds: float
    ) -> None:
        self._redis = redis
        self._worker = worker
        self._max = max_sessions
        self._times = (_redis_milliseconds(idle_seconds), _redis_milliseconds(lease_seconds))
        self._scripts: dict[str, Any] = {
            text: redis.register_script(text) for text in (_ADMIT, _LEASE, _RELEASE, _OPEN_STREAM, _SAVE)
        }

    async def _run(self, script: str, session_id: str, *arguments: str | int | bytes) -> Any:
        return await self._scripts[script](keys=[SESSION_INDEX, SESSION_PREFIX + session_id], args=arguments)

    async def admit(self, session_id: str, client: Mapping[str, Any], revision: Revision) -> int:
        """Store a session; return the number of sessions, 0 where there was no room for it."""
        written = jsonrpc.dumps(client)
        bounds = (self._max, SESSION_PREFIX, EVICTION_CANDIDATES)
        return await self._run(
            _ADMIT, session_id, session_id, self._worker, *self._times, *bounds, written, revision.name
        )

    async def lease(self, session_id: str, *, streams: bool = False) -> SessionRecord | None:
        """Lease a session and return its record, None where it is missing or malformed."""
        answer = await self._run(_LEASE, session_id, session_id, self._worker, *self._times, int(streams))
        return read_record(answer)

    async def release(self, session_id: str) -> None:
        """End the lease of a session."""
        await self._run(_RELEASE, session_id, session_id, self._worker, *self._times)

    async def open_stream(self, session_id: str) -> bool:
        """Lease the shared stream of a session; return False where another worker has it."""
        return await self._run(_OPEN_STREAM, session_id, self._worker, self._times[1]) == 1

    async def close_stream(self, session_id: str) -> None:
        """End the lease of the shared stream."""
        await self._run(_SAVE, session_id, f"stream:{self._worker}", 0)

    async def save(self, session_id: str, fact: str, value: str | None) -> None:
        """Store a fact of a session; None deletes it."""
        await self._run(_SAVE, session_id, f"fact:{fact}", int(value is not None), value or "")

    async def remove(self, session_id: str) -> None:
        """Delete a session."""
        await self._redis.delete(SESSION_PREFIX + session_id)
        await self._redis.zrem(SESSION_INDEX, session_id)

    async def count(self) -> int:
        """Return the number of sessions."""
        return await self._redis.zcard(SESSION_INDEX)


def _redis_milliseconds(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))


def read_record(fields: Sequence[Any]) -> SessionRecord | None:
    """Read the names and values of a hash, as Redis gives them; return None where they are malformed."""
    try:
        texts = [cast("bytes", field).decode() for field in fields]
        record = dict(zip(texts[::2], texts[1::2], strict=True))
        client: Any = from_json(record["client"])
        revision = REVISIONS[record["revision"]]
    except (AttributeError, KeyError, ValueError):
        return None
    if not isinstance(client, dict) or revision.era is not Era.HANDSHAKE:
        return None
    facts = {name.removeprefix("fact:"): value for name, value in record.items() if name.startswith("fact:")}
    return SessionRecord(cast("dict[str, Any]", client), revision, facts)

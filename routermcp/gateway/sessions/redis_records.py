"""The records of sessions in Redis.

A session is a hash at ``routermcp:session:{id}``: ``client`` (the parameters of
``initialize``, as JSON), ``revision``, ``owner`` (a digest of the client's key and user),
``fact:{name}`` for each setting of the client, and the leases of the workers that use it:
``busy:{worker}`` and ``stream:{worker}``, each with the time at which it expires. The leases of a
worker that dies expire.

``routermcp:sessions`` is a sorted set of the ids by the time at which each expires. It
bounds their number; the expiry of a session is that of its key. ``routermcp:sessions:of:{owner}`` is
the same of one owner, and ``routermcp:sessions:owners`` has the owners by the number of their
sessions, so that no owner puts out the sessions of another who has fewer.

Each change is one script, so that it is atomic. Scripts name keys that they were not given, so
that this needs one Redis (or its replicas) rather than a cluster.
"""

from __future__ import annotations

import hashlib
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

#: Owners whose sessions are examined for one to evict, those with the most.
EVICTION_OWNERS = 10

#: Sessions of each that are examined, those that expire first. The leases of those in use are
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
local OWNERS = KEYS[1] .. ':owners'
local function of(owner)
  return KEYS[1] .. ':of:' .. owner
end
local function owner_of(key)
  return redis.call('HGET', key, 'owner') or ''
end
local function expire(id, key, wait)
  local own = of(owner_of(key))
  redis.call('PEXPIRE', key, wait)
  redis.call('ZADD', KEYS[1], now + wait, id)
  redis.call('ZADD', own, now + wait, id)
  if redis.call('PTTL', own) < tonumber(wait) then redis.call('PEXPIRE', own, wait) end
end
local function held(owner)
  redis.call('ZREMRANGEBYSCORE', of(owner), '-inf', now)
  local count = redis.call('ZCARD', of(owner))
  if count > 0 then redis.call('ZADD', OWNERS, count, owner) else redis.call('ZREM', OWNERS, owner) end
  return count
end
local function forget(id, key, owner)
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZREM', of(owner), id)
  held(owner)
end
local IN_USE = {busy = true, stream = true}
"""

#: KEYS: index, session. ARGV: id, worker, idle, lease, most, prefix, owners and sessions looked at,
#: client, revision, owner.
_ADMIT = (
    _COMMON
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local owner = ARGV[11]
local function idle(whose)
  for _, id in ipairs(redis.call('ZRANGE', of(whose), 0, ARGV[8] - 1)) do
    local key = ARGV[6] .. id
    if not is_session(key) or not taken(key, IN_USE) then return id end
  end
end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[5]) then
  local own = held(owner)
  local most = {}
  for _, each in ipairs(redis.call('ZREVRANGE', OWNERS, 0, ARGV[7] - 1)) do
    local count = held(each)
    if count > own then table.insert(most, {count, each}) end
  end
  table.sort(most, function(a, b) return a[1] > b[1] end)
  table.insert(most, {own, owner})
  local found, whose
  for _, each in ipairs(most) do
    if not found then found, whose = idle(each[2]), each[2] end
  end
  if not found then return 0 end
  forget(found, ARGV[6] .. found, whose)
end
redis.call('HSET', KEYS[2], 'client', ARGV[9], 'revision', ARGV[10], 'owner', owner,
  'busy:' .. ARGV[2], now + ARGV[4])
expire(ARGV[1], KEYS[2], math.max(ARGV[3], ARGV[4]))
held(owner)
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


#: KEYS: index, session. ARGV: id.
_REMOVE = _COMMON + "if is_session(KEYS[2]) then forget(ARGV[1], KEYS[2], owner_of(KEYS[2])) end"


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
            text: redis.register_script(text)
            for text in (_ADMIT, _LEASE, _RELEASE, _OPEN_STREAM, _SAVE, _REMOVE)
        }

    async def _run(self, script: str, session_id: str, *arguments: str | int | bytes) -> Any:
        return await self._scripts[script](keys=[SESSION_INDEX, SESSION_PREFIX + session_id], args=arguments)

    async def admit(
        self, session_id: str, client: Mapping[str, Any], revision: Revision, owner: bytes
    ) -> int:
        """Store a session; return the number of sessions, 0 where there was no room for it."""
        bounds = (self._max, SESSION_PREFIX, EVICTION_OWNERS, EVICTION_CANDIDATES)
        record = (jsonrpc.dumps(client), revision.name, hashlib.sha256(owner).hexdigest())
        return await self._run(_ADMIT, session_id, session_id, self._worker, *self._times, *bounds, *record)

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
        await self._run(_REMOVE, session_id, session_id)

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

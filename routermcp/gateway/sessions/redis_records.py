"""How sessions are written down in Redis.

A session is a hash at ``routermcp:session:{id}``: ``client`` (the parameters of
``initialize``, as JSON), ``revision``, ``fact:{name}`` for each thing that the client set,
and what the workers that have to do with it just now write: ``busy:{worker}`` and
``stream:{worker}``, with the time up to which that holds. A worker that dies lets it lapse.

``routermcp:sessions`` is a sorted set of the ids by the time at which each expires. It
bounds their number; the expiry of a session is that of its key.

Scripts see to it that no two workers do half of something each. They name keys that they
were not given, so that this needs one Redis (or its replicas) rather than a cluster.
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

PREFIX = "routermcp:session:"
INDEX = "routermcp:sessions"

#: Seconds for which a worker has a session without saying so again. A worker that dies
#: keeps a session from being evicted, and its stream from being opened elsewhere, so long.
LEASE_SECONDS = 15.0

#: Sessions among which one to evict is looked for, those that expire first. Those in use
#: are said to be so again and again, so that they are the last ones.
LOOKED_AT = 100

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
_TAKE_UP = (
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
_LAY_DOWN = (
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
_KEEP = (
    _COMMON
    + """
if not is_session(KEYS[2]) then return 0 end
if ARGV[2] == '1' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
else redis.call('HDEL', KEYS[2], ARGV[1]) end
return 1
"""
)


@dataclass(frozen=True, slots=True)
class Record:
    """A session as it is written down."""

    client: Mapping[str, Any]
    revision: Revision
    facts: Mapping[str, str]


class Records:
    """The sessions in Redis, as one worker has to do with them.

    Every method raises what ``redis`` raises.

    Args:
        redis: Where they are.
        worker: A name that no other worker has.
        max_sessions: Sessions at once, of all workers.
        idle_seconds: After which one that nobody uses is forgotten.
    """

    def __init__(self, redis: Redis, worker: str, max_sessions: int, idle_seconds: float) -> None:
        self._redis = redis
        self._worker = worker
        self._max = max_sessions
        self._times = (_milliseconds(idle_seconds), _milliseconds(LEASE_SECONDS))
        self._scripts: dict[str, Any] = {
            text: redis.register_script(text) for text in (_ADMIT, _TAKE_UP, _LAY_DOWN, _OPEN_STREAM, _KEEP)
        }

    async def _run(self, script: str, session_id: str, *arguments: str | int | bytes) -> Any:
        return await self._scripts[script](keys=[INDEX, PREFIX + session_id], args=arguments)

    async def admit(self, session_id: str, client: Mapping[str, Any], revision: Revision) -> int:
        """Write a session down; return how many there are, 0 where there was no room for it."""
        written = jsonrpc.dumps(client)
        bounds = (self._max, PREFIX, LOOKED_AT)
        return await self._run(
            _ADMIT, session_id, session_id, self._worker, *self._times, *bounds, written, revision.name
        )

    async def take_up(self, session_id: str, *, streams: bool = False) -> Record | None:
        """Say that a session is in use here, and read it; None where it is not there, or none of ours."""
        answer = await self._run(_TAKE_UP, session_id, session_id, self._worker, *self._times, int(streams))
        return read_record(answer)

    async def lay_down(self, session_id: str) -> None:
        """Say that it is no longer in use here."""
        await self._run(_LAY_DOWN, session_id, session_id, self._worker, *self._times)

    async def open_stream(self, session_id: str) -> bool:
        """Say that its shared stream is open here; False where it is open elsewhere."""
        return await self._run(_OPEN_STREAM, session_id, self._worker, self._times[1]) == 1

    async def close_stream(self, session_id: str) -> None:
        """Say that it is no longer open here."""
        await self._run(_KEEP, session_id, f"stream:{self._worker}", 0)

    async def keep(self, session_id: str, fact: str, value: str | None) -> None:
        """Write down what the client set; None forgets it."""
        await self._run(_KEEP, session_id, f"fact:{fact}", int(value is not None), value or "")

    async def remove(self, session_id: str) -> None:
        """Forget a session."""
        await self._redis.delete(PREFIX + session_id)
        await self._redis.zrem(INDEX, session_id)

    async def count(self) -> int:
        """Return how many sessions there are."""
        return await self._redis.zcard(INDEX)


def _milliseconds(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))


def read_record(fields: Sequence[Any]) -> Record | None:
    """Read names and values of a hash, as Redis gives them; None where they are no session."""
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
    return Record(cast("dict[str, Any]", client), revision, facts)

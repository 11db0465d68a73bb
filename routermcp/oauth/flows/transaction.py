"""Load, lock, change and write the grant of a user, as one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Self, TypeVar, cast

from routermcp_adapters.call.deadline import CallDeadline
from routermcp_adapters.concurrency.background import BackgroundTask
from routermcp_adapters.http.base import SharedTransport
from routermcp_adapters.logs import log
from routermcp_proto.exceptions import (
    AuthorizationRequiredError,
    LocalProtocolError,
    LockLostError,
    MCPError,
    OAuthError,
    TransportError,
)
from routermcp_proto.oauth.authorizer import Authorizer
from routermcp_proto.oauth.records import GrantRecord
from routermcp_proto.oauth.steps import (
    MAX_ANSWER_BYTES,
    AskUser,
    Flow,
    FlowStep,
    HTTPAnswer,
    HTTPStep,
    Pause,
    SaveRecord,
    ShowCode,
)

from ..device import DeviceCode, called
from .storage import RELEASE_SECONDS, HeldLock
from .user_grant import UserGrant

T = TypeVar("T")

#: The part of a lease that one request to an authorization server may take: what is left is for
#: writing what was obtained.
REQUEST_FRACTION = 0.5

#: Seconds for the answer to a request that spends something, which no caller's deadline cuts off.
SPENDING_SECONDS = 15.0

#: Times that what was obtained is written; the pauses between are of the configuration.
MAX_WRITES = 4


#: Stands for the answer of a server that cannot be reached where others can be asked.
UNREACHABLE = HTTPAnswer(0, {}, b"")


@dataclass(frozen=True, slots=True)
class _End(Generic[T]):
    """A flow is over."""

    value: T


class GrantTransaction:
    """The grant of a user while no other task, thread or process changes it; it is written at the end.

    What spends something (:attr:`~routermcp_proto.oauth.steps.HTTPStep.spends`) is done to the end
    and written even if the caller gives up meanwhile; the lock is given up after that.

    Args:
        grant: The grant.
        exchanges: The transport for requests of the flows.
        needless: Returns, while the lock is taken, whether the purpose of the transaction is
            achieved. Then the block is entered without the lock.
    """

    def __init__(
        self,
        grant: UserGrant,
        exchanges: SharedTransport,
        needless: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._grant = grant
        self._exchanges = exchanges
        self._needless = needless
        self._lock: HeldLock | None = None
        self._background: BackgroundTask[Any] | None = None
        self._written = False

    @property
    def authorizer(self) -> Authorizer:
        """The flows on the record as it is now."""
        if self._grant.authorizer is None:
            raise AssertionError("loaded when it was locked")
        return self._grant.authorizer

    @property
    def record(self) -> GrantRecord:
        """The record as it is now."""
        return self.authorizer.record

    @property
    def held(self) -> bool:
        """Whether the lock is held, so that there is something to do."""
        return self._lock is not None

    async def __aenter__(self) -> Self:
        runtime, grant = self._exchanges.runtime, self._grant
        self._lock = await grant.resource.acquire(runtime, grant.user_id, self._needless)
        if self._lock is None:
            return self
        grant.changing(True)
        try:
            await grant.reload(runtime)
            self._written = not grant.unwritten  # until a flow changes the record
        except BaseException:
            lock, self._lock = self._lock, None
            grant.changing(False)
            async with runtime.shield(RELEASE_SECONDS):
                await lock.release()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._end(kind is None or issubclass(kind, MCPError))

    async def _end(self, keep: bool) -> None:
        lock, task = self._lock, self._background
        self._lock = self._background = None
        if lock is None or (task is not None and task.detach()):
            return
        try:
            if keep and not self._written:
                await self._grant.write(lock.runtime, lock)
        finally:
            await self._unlock(lock)

    async def _unlock(self, lock: HeldLock) -> None:
        self._grant.changing(False)
        async with lock.runtime.shield(RELEASE_SECONDS):
            await lock.release()

    async def delete(self) -> None:
        """Delete the record from the store."""
        grant, lock = self._grant, self._held()
        await grant.resource.delete(lock.runtime, grant.user_id)

    # ---- flows ----------------------------------------------------------------------------------------

    async def drive(self, flow: Flow[T], clock: CallDeadline | None = None) -> T:
        """Make the requests of a flow, and ask the user where it wants that.

        Args:
            flow: The flow.
            clock: The deadline of the call that it is for, which stands still while a user is asked;
                None where no user may be asked.

        Raises:
            OAuthError: It failed.
            TransportError: An authorization server cannot be reached.
        """
        step = self._advance(flow, None)
        while not isinstance(step, _End):
            if isinstance(step, AskUser):
                step = self._advance(flow, await self._aside(partial(self._ask, step, clock)))
            elif isinstance(step, ShowCode):
                step = self._advance(flow, await self._show_code(step, clock))
            elif isinstance(step, Pause):
                pause = partial(self._exchanges.runtime.sleep, step.seconds)
                step = self._advance(flow, await self._aside(pause))
            elif isinstance(step, SaveRecord):
                lock = self._held()
                step = self._advance(flow, await self._grant.write(lock.runtime, lock))
            elif step.spends:
                step = await self._spend(flow, step)
            else:
                step = self._advance(flow, await self._fetch(step, await self._time_left(self._held())))
        return step.value

    def _advance(self, flow: Flow[T], answer: Any) -> FlowStep | _End[T]:
        self._written = False
        try:
            return flow.send(answer)
        except StopIteration as end:
            return _End(cast("T", end.value))
        finally:
            self._grant.audit()

    async def _spend(self, flow: Flow[T], step: HTTPStep) -> FlowStep | _End[T]:
        """Make a request that spends something, and write its result even if the caller gives up."""
        lock = self._held()

        async def work() -> FlowStep | _End[T]:
            limit = await self._time_left(lock)  # it may have waited for its turn
            answer = await self._fetch(step, min(limit or SPENDING_SECONDS, SPENDING_SECONDS))
            following = self._advance(flow, answer)
            await self._write(lock)
            return following

        try:
            self._background = self._exchanges.start_background(work, partial(self._unlock, lock))
        except OSError as error:
            raise OAuthError(f"tokens cannot be asked for now: {error}") from error
        following = await self._background.result()
        self._background = None
        return following

    async def _write(self, lock: HeldLock) -> None:
        """Write the record, again where that does not work: what it holds may be nowhere else.

        Raises:
            OAuthError: It cannot be written.
        """
        pause = self._grant.resource.config.times.write_pause_seconds
        for attempt in range(1, MAX_WRITES + 1):
            try:
                await self._grant.write(lock.runtime, lock)
            except OAuthError as error:
                if attempt == MAX_WRITES or isinstance(error, LockLostError):
                    raise
                log.warning("what an authorization server gave could not be written: %s", error)
            else:
                self._written = True
                return
            await lock.runtime.sleep(pause)
            pause *= 2

    def _held(self) -> HeldLock:
        if self._lock is None:
            raise AssertionError("everything is done under the lock")
        return self._lock

    async def _fetch(self, step: HTTPStep, limit: float | None) -> HTTPAnswer:
        exchanges, runtime = self._exchanges, self._exchanges.runtime
        config = self._grant.resource.config
        scope = runtime.deadline(None if limit is None else runtime.now() + limit)
        try:
            async with scope:
                found = await exchanges.fetch(
                    step.method,
                    step.url,
                    config.headers_for(step),
                    step.body,
                    MAX_ANSWER_BYTES,
                    private=config.may_be_private(step),
                    named_by=step.named_by,
                )
        except TimeoutError as error:
            if not scope.expired:
                raise
            if step.optional:
                return UNREACHABLE
            # Longer, and another holder would begin the same: the lock is a lease.
            message = f"{step.url.partition('?')[0]} took longer than {limit:g} s"
            raise TransportError(message, code="timeout", not_run=True) from error
        except LocalProtocolError as error:
            raise OAuthError(f"a request of signing in cannot be sent: {error}") from error
        except TransportError as error:
            if step.optional:
                log.info("%s cannot be reached: %s", step.url.partition("?")[0], error)
                return UNREACHABLE
            # The request of the application was refused, or is not sent yet.
            error.not_run = True
            raise
        return HTTPAnswer(found.status, found.headers, found.body)

    async def _ask(self, step: AskUser, clock: CallDeadline | None) -> str:
        authorize, runtime = self._grant.resource.config.authorize, self._exchanges.runtime
        if authorize is None or isinstance(authorize, DeviceCode) or clock is None:
            raise AuthorizationRequiredError("a user has to sign in first", url=step.url)
        callback = await clock.interact(partial(called, authorize, step.url, runtime))
        if not isinstance(callback, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise OAuthError("authorize= returns the URL that the user's browser came back to")
        return callback

    async def _show_code(self, step: ShowCode, clock: CallDeadline | None) -> None:
        authorize, runtime = self._grant.resource.config.authorize, self._exchanges.runtime
        if not isinstance(authorize, DeviceCode) or clock is None:
            raise AuthorizationRequiredError("a user has to sign in first")

        async def ask() -> None:
            await self._aside(partial(called, authorize.show, step.code, runtime))
            await self.drive(step.polling)

        await clock.interact(ask)

    @staticmethod
    async def _time_left(lock: HeldLock) -> float | None:
        """Make the lock last longer, and return the seconds that one request may take, None for any.

        Raises:
            LockLostError: Another holder may have the lock by now.
        """
        await lock.hold_on()
        return lock.seconds * REQUEST_FRACTION if lock.seconds is not None else None

    async def _aside(self, work: Callable[[], Any]) -> Any:
        """Do something that may take a person's time, while others may use the record."""
        await self._end(True)
        result = await work()
        self._needless = None  # the answer of the user is to be used
        await self.__aenter__()
        return result

"""Tokens in PostgreSQL or SQLite, through SQLAlchemy."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from routermcp_adapters.concurrency import fork
from routermcp_proto.exceptions import ConfigError, LockLostError, TokenStoreError

from .._optional import error_line, needs_extra
from .base import LEASE_SECONDS, AdapterLock, Record, TokenAdapter
from .private_files import create_private
from .records import as_record, ids_in, object_in

T = TypeVar("T")

#: Connections of one process. PostgreSQL has a hundred for everybody by default, and each is held for
#: a few milliseconds.
POOL_CONNECTIONS = 4

#: Lengths of a lease by which one may end later than now: its own, and one for clocks that differ.
LEASES_AHEAD = 2


@dataclass(frozen=True, slots=True)
class SQLTimes:
    """Seconds that the steps of using a database may take."""

    sqlite_busy: float = 10.0
    """For SQLite to wait for another writer."""

    connect: int = 5
    """For a connection to PostgreSQL; libpq takes whole ones, and two at least. As in Redis."""

    statement: float = 10.0
    """For a statement, which reads or writes one row; it may wait for other writers."""

    silent: float = 10.0
    """For the database's host to acknowledge data or a keepalive."""

    pool: float = 10.0
    """To wait for a connection while other threads use all of them."""


class _PrivateText(str):
    """Text that a log of rows does not show."""

    def __repr__(self) -> str:
        return "'***'"


def _private_text(sql: Any) -> Any:
    """Return the type of a column whose values SQLAlchemy, which logs rows, does not show."""

    class PrivateText(sql.types.TypeDecorator):  # pyright: ignore[reportUntypedBaseClass]
        impl = sql.Text
        cache_ok = True

        def process_result_value(self, value: str | None, dialect: Any) -> str | None:
            del dialect
            return None if value is None else _PrivateText(value)

    return PrivateText()


class _SQLLock:
    """A lease."""

    def __init__(self, adapter: _SQLAdapter, user_id: str, server_id: str) -> None:
        self.seconds: float | None = adapter.lease_seconds
        self.fence = 0
        self._adapter = adapter
        self._where = (user_id, server_id)
        self._token = secrets.token_hex(16)

    def acquire(self) -> bool:
        fence = self._adapter.acquire(*self._where, self._token)
        self.fence = fence or self.fence
        return fence is not None

    def renew(self) -> bool:
        return self._adapter.extend(*self._where, self._token, self._adapter.lease_seconds)

    def release(self) -> None:
        self._adapter.extend(*self._where, self._token, 0.0)


class _SQLAdapter:
    """Keeps records in a table, a row for each user and server, and their leases in the same row."""

    inline = False
    lease_seconds = LEASE_SECONDS

    def __init__(self, url: str, tenant: str, table: str, times: SQLTimes | None = None) -> None:
        self._times = times = times or SQLTimes()
        with needs_extra("sql_adapter()"):
            import sqlalchemy  # noqa: PLC0415 - of the extra ``oauth``
        sql: Any = sqlalchemy
        self._sql = sql
        try:
            # psycopg is what the extra brings; without a driver SQLAlchemy takes another one.
            parsed = sql.make_url(url)
            if parsed.drivername in ("postgresql", "postgres"):
                parsed = parsed.set(drivername="postgresql+psycopg")
            if "@" in (parsed.host or ""):  # errors would show that as a host
                raise ConfigError("sql_adapter() cannot use that URL: write an @ in a password as %40")
            lite = parsed.get_backend_name() == "sqlite"
            if lite and _is_in_memory(parsed):
                raise ConfigError(
                    "sql_adapter() needs a database in a file: in memory, take memory_adapter()"
                )
            limits = {"timeout": times.sqlite_busy} if lite else _postgres_limits(parsed.query, times)
            # Said in each transaction: a pooler takes no limits of a connection, or keeps them for others.
            self._limited = not lite and "statement_timeout" not in str(parsed.query.get("options", ""))
            self._engine: Any = sql.create_engine(
                parsed,
                pool_pre_ping=True,
                pool_size=POOL_CONNECTIONS,
                max_overflow=0,
                hide_parameters=True,  # they hold tokens, and errors show them
                pool_timeout=times.pool,
                connect_args=limits,
            )
        except (sql.exc.ArgumentError, ImportError) as error:
            raise ConfigError(f"sql_adapter() cannot use that URL: {type(error).__name__}") from error
        if lite:
            sql.event.listen(self._engine, "do_connect", _create_sqlite_file)
            sql.event.listen(self._engine, "connect", _prepare_sqlite)
        self._tenant = tenant
        self._table: Any = sql.Table(
            table,
            sql.MetaData(),
            *(sql.Column(name, sql.String, primary_key=True) for name in ("tenant", "user_id", "server_id")),
            sql.Column("record", _private_text(sql)),
            sql.Column("fence", sql.BigInteger, nullable=False),
            sql.Column("holder", sql.String),
            sql.Column("held_until", sql.Float, nullable=False),
        )
        self._made = False
        self._making = threading.Lock()
        fork.watch(self)

    def __repr__(self) -> str:
        return f"<sql_adapter {self._engine.url.get_backend_name()} {self._table.name}>"

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._engine.dispose()

    def after_fork(self) -> None:
        """Leave the connections to the parent process, and do not wait for a table that it makes."""
        fork.never_close(self._engine.pool)  # databases do not bear that, from another process
        self._engine.dispose(close=False)
        self._making = threading.Lock()

    # ---- rows ----------------------------------------------------------------------------------

    def _in_transaction(self, work: Callable[[Any], T]) -> T:
        try:
            self._make_table()
            with self._engine.begin() as connection:
                self._limit(connection)
                return work(connection)
        except self._sql.exc.SQLAlchemyError as error:
            # SQLAlchemy adds what was to be written, where the driver has said what went wrong.
            said = error_line(getattr(error, "orig", None) or error)
            raise TokenStoreError(f"the database of the tokens cannot be used: {said}") from error

    def _limit(self, connection: Any) -> None:
        """Let the statements of a transaction take some time, and no more."""
        if self._limited:
            limit = int(self._times.statement * 1000)
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {limit}")

    def _make_table(self) -> None:
        if not self._making.acquire(timeout=self._times.pool):
            raise TokenStoreError("the database of the tokens cannot be used: another thread waits for it")
        try:
            if self._made:
                return
            with self._engine.connect() as connection:
                try:
                    with connection.begin():
                        self._limit(connection)
                        self._table.create(connection, checkfirst=True)
                except self._sql.exc.SQLAlchemyError:
                    # Another process may have made it between the look and the making.
                    if not self._sql.inspect(connection).has_table(self._table.name):
                        raise
            self._made = True
        finally:
            self._making.release()

    def _here(self, user_id: str, server_id: str) -> Any:
        columns, key = self._table.c, [_sql_id(text) for text in (self._tenant, user_id, server_id)]
        names = (columns.tenant, columns.user_id, columns.server_id)
        return self._sql.and_(*(column == value for column, value in zip(names, key, strict=True)))

    def _make_row(self, connection: Any, user_id: str, server_id: str) -> None:
        """See to it that there is a row, also when others do so at the same time."""
        values = {
            "tenant": _sql_id(self._tenant),
            "user_id": _sql_id(user_id),
            "server_id": _sql_id(server_id),
            "fence": 0,
            "held_until": 0.0,
        }
        lite = self._engine.dialect.name == "sqlite"
        from sqlalchemy.dialects import postgresql, sqlite  # noqa: PLC0415 - of the extra ``oauth``

        insert: Any = (sqlite if lite else postgresql).insert(self._table)
        connection.execute(insert.values(values).on_conflict_do_nothing())

    # ---- records ---------------------------------------------------------------------------------

    def get(self, user_id: str, server_id: str) -> Record | None:
        query = self._sql.select(self._table.c.record).where(self._here(user_id, server_id))
        data = self._in_transaction(lambda connection: connection.execute(query).scalar())
        if data is None:
            return None
        where = f"the record of {user_id!r} for {server_id!r} in {self._table.name}"
        return as_record(object_in(data), where)

    def set(self, user_id: str, server_id: str, record: Record, *, lock: AdapterLock | None = None) -> None:
        where = self._here(user_id, server_id)
        if isinstance(lock, _SQLLock):
            where = self._sql.and_(where, self._table.c.fence <= lock.fence)
        update = self._table.update().where(where).values(record=json.dumps(record))

        def work(connection: Any) -> int:
            self._make_row(connection, user_id, server_id)
            return connection.execute(update).rowcount

        if not self._in_transaction(work):
            raise LockLostError(
                f"another process has renewed the tokens of {user_id!r} for {server_id!r} since"
            )

    def delete(self, user_id: str, server_id: str) -> None:
        # The row stays for its fence, so that a write that comes late is still refused.
        update = self._table.update().where(self._here(user_id, server_id)).values(record=None)
        self._in_transaction(lambda connection: connection.execute(update))

    def list(self, user_id: str) -> list[str]:
        columns = self._table.c
        mine = self._sql.and_(columns.tenant == _sql_id(self._tenant), columns.user_id == _sql_id(user_id))
        query = self._sql.select(columns.server_id).where(mine, columns.record.is_not(None))
        rows = self._in_transaction(lambda connection: connection.execute(query).scalars().all())
        return ids_in(rows, _id_of_sql)

    def lock(self, user_id: str, server_id: str) -> AdapterLock:
        return _SQLLock(self, user_id, server_id)

    # ---- leases --------------------------------------------------------------------------------

    def acquire(self, user_id: str, server_id: str, token: str) -> int | None:
        """Take a lease and return its fence, or None while another holder has it."""
        columns, here = self._table.c, self._here(user_id, server_id)
        now = time.time()
        # A holder that asks again, as the answer was lost, keeps its fence.
        again = self._lengthened(user_id, server_id, token, self.lease_seconds)
        # A lease beyond any that begins now is of a clock that was set back, and its holder may be dead.
        latest = now + self.lease_seconds * LEASES_AHEAD
        held_now = self._sql.and_(columns.held_until > now, columns.held_until <= latest)
        free = self._sql.and_(here, self._sql.not_(held_now))
        taken = {"holder": token, "held_until": now + self.lease_seconds, "fence": columns.fence + 1}

        held = self._sql.select(columns.fence).where(here, held_now, columns.holder != token)

        def work(connection: Any) -> int | None:
            if connection.execute(held).first() is not None:
                return None  # waiting for a lease writes nothing: SQLite has one writer at a time
            self._make_row(connection, user_id, server_id)
            updates = (again, self._table.update().where(free).values(taken))
            if not any(connection.execute(update).rowcount for update in updates):
                return None
            return connection.execute(self._sql.select(columns.fence).where(here)).scalar()

        return self._in_transaction(work)

    def extend(self, user_id: str, server_id: str, token: str, seconds: float) -> bool:
        """Let a lease last so much longer; return whether it is still that holder's."""
        update = self._lengthened(user_id, server_id, token, seconds)
        return bool(self._in_transaction(lambda connection: connection.execute(update).rowcount))

    def _lengthened(self, user_id: str, server_id: str, token: str, seconds: float) -> Any:
        """Return the statement that lets a lease last so much longer, if it is still that holder's."""
        now, columns = time.time(), self._table.c
        mine = self._sql.and_(
            self._here(user_id, server_id), columns.holder == token, columns.held_until > now
        )
        return self._table.update().where(mine).values(held_until=now + seconds)


def _sql_id(text: str) -> str:
    """Return an id as text that every database takes: no NUL, no half of a surrogate pair."""
    return (
        text.encode("utf-8", "surrogatepass").hex() if not text.isprintable() or "~" in text else f"~{text}"
    )


def _id_of_sql(key: str) -> str:
    return key[1:] if key.startswith("~") else bytes.fromhex(key).decode("utf-8", "surrogatepass")


def _is_in_memory(url: Any) -> bool:
    """Return whether a database of SQLite is in memory, where each connection has one of its own."""
    return not url.database or ":memory:" in url.database or url.query.get("mode") == "memory"


def _postgres_limits(query: Mapping[str, Any], times: SQLTimes) -> dict[str, Any]:
    """Return the limits of a connection to PostgreSQL, where the URL sets no others."""
    limits = {
        "connect_timeout": times.connect,
        "tcp_user_timeout": int(times.silent * 1000),
        # While an answer is waited for, the machine is asked whether it is there.
        "keepalives_idle": int(times.silent),
        "keepalives_interval": int(times.silent),
        # Behind a pooler, the next transaction may be on another connection.
        "prepare_threshold": None,
    }
    return {name: value for name, value in limits.items() if name not in query}


def _create_sqlite_file(
    _dialect: Any, _record: Any, arguments: Sequence[Any], named: Mapping[str, Any]
) -> None:
    """Make the file of a database before SQLite does, which lets all users of the machine read it."""
    if not named.get("uri"):
        with contextlib.suppress(OSError):  # SQLite reports it
            create_private(Path(arguments[0]))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Let readers run beside a writer, and keep content that is no text out of errors."""
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def sql_adapter(url: str, *, tenant: str = "", table: str = "routermcp_oauth") -> TokenAdapter:
    """Keep tokens in a database; the table is made where it is missing.

    The clocks of the machines that share it may differ by seconds, not by a lease's thirty.

    Args:
        url: Such as ``postgresql://user:password@host/name`` or ``sqlite:///tokens.db``. Limits of
            time that it sets, ``?connect_timeout=2``, count instead of ours.
        tenant: The application of these users, where several applications share the table.
        table: The name of the table.

    Raises:
        ConfigError: The URL cannot be used or is that of a database in memory, or SQLAlchemy is missing.
    """
    return _SQLAdapter(url, tenant, table)

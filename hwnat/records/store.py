"""Measurements in SQLite. Each one is committed at once, so a process that dies loses none."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Final, Self, TypeVar

from hwnat.errors import DataError, UsageError
from hwnat.records import parse
from hwnat.records.measurement import Measurement, ProfileRun, is_steady

R = TypeVar("R", Measurement, ProfileRun)

# History of the file format. Never edit an entry; add one and a migration.
#   1  measurements and runs as JSON beside the columns they are searched by
#   2  the doubts about each visit, so that they are worked out once
STORE_SCHEMA: Final = 2
#: Marks the file as a store of hwnat ("hwna"); SQLite keeps the mark in the header.
_APPLICATION_ID: Final = 0x68776E61
_TABLES: Final = (
    "create table measurements (job text primary key, setup text, subject text, body text) strict",
    "create index by_setup on measurements (setup)",
    "create table runs (number integer primary key, body text unique) strict",
)
#: `visit` is the row of a measurement; `line` is empty if there are no doubts about it.
_DOUBTS: Final = (
    "create table doubts (visit integer primary key, setup text, line text) strict",
    "create index doubtful on doubts (setup, visit) where line != ''",
)
#: Older schema -> statements that bring a store to the next one.
_MIGRATIONS: Final = {1: _DOUBTS}
#: Visits that are examined in one transaction.
_EXAMINED: Final = 10_000
#: How long to wait for a lock that another process holds.
_BUSY_S: Final = 30.0


class Store:
    """A context manager for the measurements of any number of profiles.

    Raises:
        DataError: the file is damaged, is not a store, or has another schema.
        UsageError: the file cannot be opened or created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_file():
                msg = f"Cannot open store {path}: it is not a regular file; choose another."
                raise UsageError(msg)
            # Commits are explicit. SQLite waits for a lock that another profile holds.
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        except (OSError, ValueError, sqlite3.Error) as problem:
            msg = f"Cannot open store {path}: {problem}; choose another file."
            raise UsageError(msg) from problem
        with self._errors():
            self._open()

    def _open(self) -> None:
        if self._is_empty():
            # Another process may have just filled the file, so check again under the lock.
            with self._transaction():
                if self._is_empty():
                    for statement in (*_TABLES, *_DOUBTS):
                        self._db.execute(statement)
                    self._db.execute(f"pragma application_id={_APPLICATION_ID}")
                    self._db.execute(f"pragma user_version={STORE_SCHEMA}")
        (mark,) = self._db.execute("pragma application_id").fetchone()
        if mark != _APPLICATION_ID:
            msg = f"{self.path} is a database of another program; choose another file."
            raise DataError(msg)
        if self._schema() in _MIGRATIONS:
            with self._transaction():
                while (schema := self._schema()) in _MIGRATIONS:
                    for statement in _MIGRATIONS[schema]:
                        self._db.execute(statement)
                    self._db.execute(f"pragma user_version={schema + 1}")
        if (schema := self._schema()) != STORE_SCHEMA:
            msg = f"{self.path} has store schema {schema}; this hwnat reads {STORE_SCHEMA}."
            raise DataError(msg)
        self._use_wal()
        # With WAL and NORMAL, only a power cut loses commits; a process that dies does not.
        self._db.execute("pragma synchronous=normal")

    def _schema(self) -> int:
        (schema,) = self._db.execute("pragma user_version").fetchone()
        return int(schema)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
            self._db.execute("commit")
        except BaseException:
            self._db.execute("rollback")
            raise

    def _is_empty(self) -> bool:
        """Return whether the file is new: it has no tables and no mark of any program."""
        (mark,) = self._db.execute("pragma application_id").fetchone()
        (tables,) = self._db.execute("select count(*) from sqlite_master").fetchone()
        return (mark, self._schema(), tables) == (0, 0, 0)

    def _use_wal(self) -> None:
        """Set the journal mode, which the file keeps. This needs exclusive access for a moment."""
        deadline = monotonic() + _BUSY_S
        while True:
            try:
                self._db.execute("pragma journal_mode=wal")
            except sqlite3.OperationalError as problem:
                # SQLite does not wait for this lock: two connections could wait for each other.
                if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                    raise
                sleep(0.01)
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._db.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as problem:
            self._db.close()
            msg = f"Store {self.path}: {problem}; is it on a full or read-only disk, or in use?"
            raise DataError(msg) from problem
        except sqlite3.DatabaseError as problem:
            self._db.close()
            msg = f"{self.path} is damaged or not a measurement store ({problem})."
            raise DataError(msg) from problem

    def add(self, measurement: Measurement) -> None:
        """Commit a measurement; if the store already holds its job, nothing is added."""
        row = (measurement.job, measurement.setup, measurement.subject)
        with self._errors(), self._transaction():
            added = self._db.execute(
                "insert or ignore into measurements values (?, ?, ?, ?)",
                (*row, json.dumps(asdict(measurement))),
            )
            if added.rowcount:
                self._db.execute(
                    "insert or replace into doubts values (?, ?, ?)",
                    (added.lastrowid, measurement.setup, _line(measurement)),
                )

    def add_run(self, run: ProfileRun) -> None:
        """Commit the plan of a profile."""
        with self._errors():
            self._db.execute("insert into runs (body) values (?)", (json.dumps(asdict(run)),))

    def jobs(self, setup: str) -> frozenset[str]:
        """Return the jobs that the store holds for the setup with this id."""
        with self._errors():
            rows = self._db.execute("select job from measurements where setup = ?", (setup,))
            return frozenset(job for (job,) in rows)

    def measurements(self, setup: str, subjects: Iterable[str]) -> tuple[Measurement, ...]:
        """Return the measurements of `subjects` with the setup of this id, oldest first."""
        wanted = frozenset(subjects)
        with self._errors():
            rows = self._db.execute(
                "select job, subject, body from measurements where setup = ? order by rowid",
                (setup,),
            )
            held = [row for row in rows if row[1] in wanted]
        visits = []
        for job, subject, body in held:
            visit = self._read(Measurement, body)
            if (visit.job, visit.setup, visit.subject) != (job, setup, subject):
                msg = f"{self.path}: job {job!r:.40} holds a visit to something else; measure again"
                raise DataError(msg)
            visits.append(visit)
        return tuple(visits)

    def doubts(self, setup: str) -> tuple[str, ...]:
        """Return one line for each doubtful visit with the setup of this id, oldest first."""
        with self._errors():
            self._examine(setup)
            rows = self._db.execute(
                "select line from doubts where setup = ? and line != '' order by visit", (setup,)
            )
            return tuple(line for (line,) in rows)

    def _examine(self, setup: str) -> None:
        """Work out the doubts about visits that another program or an older hwnat has added."""
        last = 0
        while rows := self._db.execute(
            "select rowid, body from measurements where setup = ? and rowid > ? "
            "and rowid not in (select visit from doubts) order by rowid limit ?",
            (setup, last, _EXAMINED),
        ).fetchall():
            lines = [
                "" if is_steady(body) else _line(self._read(Measurement, body)) for _, body in rows
            ]
            last = rows[-1][0]
            with self._transaction():
                self._db.executemany(
                    "insert or ignore into doubts values (?, ?, ?)",
                    [(row, setup, line) for (row, _), line in zip(rows, lines, strict=True)],
                )

    def runs(self) -> tuple[ProfileRun, ...]:
        """Return the plan of every profile that was started, oldest first."""
        with self._errors():
            rows = self._db.execute("select body from runs order by number").fetchall()
        return tuple(self._read(ProfileRun, body) for (body,) in rows)

    def _read(self, cls: type[R], body: str) -> R:
        return parse.record(
            cls, parse.strict_json(body, where=str(self.path)), where=str(self.path)
        )


def _line(visit: Measurement) -> str:
    """Return the doubts about a visit as one line; empty if there are none."""
    reasons = visit.doubts()
    return f"{visit.subject}: {'; '.join(reasons)}" if reasons else ""

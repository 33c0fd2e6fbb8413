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
from hwnat.records.measurement import Measurement, ProfileRun

R = TypeVar("R", Measurement, ProfileRun)

# History of the file format. Never edit an entry; add one and a migration.
#   1  measurements and runs as JSON beside the columns they are searched by
STORE_SCHEMA: Final = 1
#: Marks the file as a store of hwnat ("hwna"); SQLite keeps the mark in the header.
_APPLICATION_ID: Final = 0x68776E61
_TABLES: Final = (
    "create table measurements (job text primary key, setup text, subject text, body text) strict",
    "create index by_setup on measurements (setup)",
    "create table runs (number integer primary key, body text unique) strict",
)
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
            self._db.execute("begin immediate")
            try:
                if self._is_empty():
                    for statement in _TABLES:
                        self._db.execute(statement)
                    self._db.execute(f"pragma application_id={_APPLICATION_ID}")
                    self._db.execute(f"pragma user_version={STORE_SCHEMA}")
                self._db.execute("commit")
            except BaseException:
                self._db.execute("rollback")
                raise
        (mark,) = self._db.execute("pragma application_id").fetchone()
        (schema,) = self._db.execute("pragma user_version").fetchone()
        if mark != _APPLICATION_ID:
            msg = f"{self.path} is a database of another program; choose another file."
            raise DataError(msg)
        if schema != STORE_SCHEMA:
            msg = f"{self.path} has store schema {schema}; this hwnat reads {STORE_SCHEMA}."
            raise DataError(msg)
        self._use_wal()
        # With WAL and NORMAL, only a power cut loses commits; a process that dies does not.
        self._db.execute("pragma synchronous=normal")

    def _is_empty(self) -> bool:
        """Return whether the file is new: it has no tables and no mark of any program."""
        (mark,) = self._db.execute("pragma application_id").fetchone()
        (schema,) = self._db.execute("pragma user_version").fetchone()
        (tables,) = self._db.execute("select count(*) from sqlite_master").fetchone()
        return (mark, schema, tables) == (0, 0, 0)

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
        with self._errors():
            self._db.execute(
                "insert or ignore into measurements values (?, ?, ?, ?)",
                (*row, json.dumps(asdict(measurement))),
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
            ).fetchall()
        visits = []
        for job, subject, body in rows:
            if subject not in wanted:
                continue
            visit = self._read(Measurement, body)
            if (visit.job, visit.setup, visit.subject) != (job, setup, subject):
                msg = f"{self.path}: job {job!r:.40} holds a visit to something else; measure again"
                raise DataError(msg)
            visits.append(visit)
        return tuple(visits)

    def doubts(self, setup: str) -> tuple[str, ...]:
        """Return one line for each doubtful visit with the setup of this id."""
        with self._errors():
            bodies = self._db.execute(
                "select body from measurements where setup = ? order by rowid", (setup,)
            ).fetchall()
        visits = (self._read(Measurement, body) for (body,) in bodies)
        return tuple(
            f"{visit.subject}: {'; '.join(reasons)}"
            for visit in visits
            if (reasons := visit.doubts())
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

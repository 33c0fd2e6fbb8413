import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnat.errors import DataError, UsageError
from hwnat.records.device import TimingProtocol
from hwnat.records.measurement import Conditions, Measurement, ProfileRun, is_steady
from hwnat.records.store import STORE_SCHEMA, Store

WRITER = """
import sys
from pathlib import Path
from hwnat.records.measurement import Measurement
from hwnat.records.store import Store
with Store(Path(sys.argv[1])) as store:
    for i in range(10**9):
        store.add(Measurement(job=str(i), setup="s", subject="conv", round=i, samples_ns=(i + 1,),
                              reference_ns=(1,), disturbed=0, started="a", ended="b"))
        print(i, flush=True)
"""

times = st.lists(st.integers(1, 2**62), min_size=1, max_size=5).map(tuple)
states = st.none() | st.builds(
    Conditions,
    at=st.text(max_size=5),
    clocks_hz=st.lists(st.integers(0, 10**10), max_size=3).map(tuple),
    temperature_c=st.none() | st.floats(-50, 200),
)
measurements = st.builds(
    Measurement,
    job=st.uuids().map(str),
    setup=st.just("s"),
    subject=st.text(max_size=20),
    round=st.integers(0, 99),
    samples_ns=times,
    reference_ns=times,
    disturbed=st.integers(0, 9),
    started=st.just("a"),
    ended=st.just("b"),
    before=states,
    after=states,
)


def one(job="1", **more):
    default = {"setup": "s", "subject": "conv", "round": 0, "samples_ns": (1, 2)}
    default |= {"reference_ns": (3,), "disturbed": 0, "started": "a", "ended": "b", **more}
    return Measurement(job=job, **default)


@settings(max_examples=30)
@given(st.lists(measurements, max_size=5, unique_by=lambda m: m.job))
def test_measurements_come_back_as_they_went_in(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("store") / "s.sqlite"
    with Store(path) as store:
        for visit in written:
            store.add(visit)
    with Store(path) as store:
        assert store.measurements("s", {m.subject for m in written}) == tuple(written)
        assert store.jobs("s") == {m.job for m in written}


def test_setups_and_subjects_are_kept_apart(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store.add(one())
        assert store.measurements("s", ["linear"]) == ()
        assert store.measurements("other", ["conv"]) == ()
        assert store.jobs("other") == frozenset()


def test_doubtful_visits_are_listed_with_their_reasons(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store.add(one("1", samples_ns=(5, 5, 5)))
        store.add(one("2", samples_ns=(5, 5, 99)))
        (doubt,) = store.doubts("s")
        assert store.doubts("other") == ()
    assert doubt.startswith("conv: slowest model run is 19.8 times the median")


def test_doubts_are_worked_out_once(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store.add(one("1", samples_ns=(5, 5, 5)))
        store.add(one("2", samples_ns=(5, 5, 99)))
        store._db.execute("update measurements set body = 'no longer JSON'")
        assert len(store.doubts("s")) == 1


def test_a_job_that_is_there_already_keeps_its_doubts(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store.add(one("1", samples_ns=(5, 5, 99)))
        store.add(one("1", samples_ns=(5, 5, 5)))
        assert len(store.doubts("s")) == 1


@pytest.fixture
def first_schema(tmp_path):
    """Return the path of a store as hwnat 0.1.0 wrote it, with a doubtful visit of either setup."""
    path = tmp_path / "old.sqlite"
    db = sqlite3.connect(path)
    db.execute("create table measurements (job text primary key, setup text, subject text, "
               "body text) strict")  # fmt: skip
    db.execute("create index by_setup on measurements (setup)")
    db.execute("create table runs (number integer primary key, body text unique) strict")
    db.execute("pragma application_id = 1752657505")
    db.execute("pragma user_version = 1")
    for visit in (
        one("1", samples_ns=(5,)),
        one("2", samples_ns=(5, 5, 99)),
        one("3", setup="other"),
    ):
        row = (visit.job, visit.setup, visit.subject, json.dumps(asdict(visit)))
        db.execute("insert into measurements values (?, ?, ?, ?)", row)
    db.commit()
    db.close()
    return path


def test_a_store_of_the_first_schema_keeps_all_it_holds(first_schema):
    for _ in range(2):
        with Store(first_schema) as store:
            assert [visit.job for visit in store.measurements("s", ["conv"])] == ["1", "2"]
            assert len(store.doubts("s")) == 1
            assert len(store.doubts("other")) == 1
    with Store(first_schema) as store:
        assert store._schema() == STORE_SCHEMA


def test_several_processes_may_open_a_store_of_the_first_schema_at_once(first_schema):
    paths = []
    for number in range(5):
        paths.append(str(first_schema.with_name(f"{number}.sqlite")))
        shutil.copy(first_schema, paths[-1])
    open_together(paths)


def test_a_visit_that_cannot_be_read_is_refused_when_its_doubts_are_asked_for(first_schema):
    db = sqlite3.connect(first_schema)
    db.execute("update measurements set body = '{}' where job = '2'")
    db.commit()
    db.close()
    with Store(first_schema) as store, pytest.raises(DataError, match="is missing"):
        store.doubts("s")


@settings(max_examples=100)
@given(measurements)
def test_a_visit_that_is_steady_has_no_doubts(visit):
    if is_steady(json.dumps(asdict(visit))):
        assert visit.doubts() == ()


def test_most_visits_are_steady_whether_or_not_the_device_reports_its_temperature():
    warm = Conditions(at="t", temperature_c=50.0)
    for states in ({}, {"before": warm, "after": warm}, {"before": Conditions(at="t")}):
        assert is_steady(json.dumps(asdict(one(samples_ns=(100, 110), **states))))
    hot = Conditions(at="t", temperature_c=90.0)
    assert not is_steady(json.dumps(asdict(one(samples_ns=(100,), before=warm, after=hot))))
    assert not is_steady(json.dumps(asdict(one(samples_ns=(100,), disturbed=1))))
    assert not is_steady("{}")
    assert not is_steady("[" * 100_000)


def test_a_job_is_stored_once(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store.add(one(samples_ns=(7,)))
        store.add(one(samples_ns=(8,)))
        (visit,) = store.measurements("s", ["conv"])
    assert visit.samples_ns == (7,)


def test_runs_come_back_oldest_first(tmp_path, a_setup):
    runs = tuple(
        ProfileRun(
            setup=a_setup(),
            protocol=TimingProtocol(),
            space="mbv3-nano",
            classes=10,
            resolutions=(24,),
            ops=("conv",),
            overhead="mix",
            calibration=("01",),
            validation=(),
            created=created,
        )
        for created in ("b", "a")
    )
    with Store(tmp_path / "s.sqlite") as store:
        for run in runs:
            store.add_run(run)
        assert store.runs() == runs
    assert runs[0].subjects == ("conv", "mix", "network|mbv3-nano|01|classes=10|batch=1")


def test_two_profiles_write_to_one_store(tmp_path):
    path = tmp_path / "s.sqlite"
    with Store(path) as first, Store(path) as second:
        first.add(one("1"))
        second.add(one("2"))
        assert first.jobs("s") == {"1", "2"}


def test_kill_minus_nine_loses_nothing_that_was_reported(tmp_path):
    path = tmp_path / "s.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    for _ in range(50):
        writer.stdout.readline()
    time.sleep(0.01)
    os.kill(writer.pid, signal.SIGKILL)
    reported = 50 + len(writer.communicate()[0].splitlines())
    with Store(path) as store:
        visits = store.measurements("s", ["conv"])
        assert reported <= len(visits) <= reported + 1
        assert [m.samples_ns for m in visits] == [(i + 1,) for i in range(len(visits))]
        store.add(one("later"))


def damage(path):
    with Store(path) as store:
        for i in range(200):
            store.add(one(str(i)))
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


def foreign(path):
    db = sqlite3.connect(path)
    db.execute("create table cats (name)")
    db.commit()
    db.close()


def future(path):
    Store(path).__exit__(None, None, None)
    db = sqlite3.connect(path)
    db.execute(f"pragma user_version = {STORE_SCHEMA + 1}")
    db.close()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage, "damaged or not a measurement store"),
        (lambda path: path.write_text("no database" * 100), "damaged or not a measurement store"),
        (foreign, "another program"),
        (future, f"schema {STORE_SCHEMA + 1}; this hwnat reads {STORE_SCHEMA}"),
    ],
)
def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path, spoil, message):
    path = tmp_path / "s.sqlite"
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(DataError, match=message), Store(path) as store:
        store.measurements("s", ["conv"])
    assert path.read_bytes() == before


def test_a_record_that_was_tampered_with_is_refused(tmp_path):
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        store.add(one())
    db = sqlite3.connect(path)
    db.execute("""update measurements set body = '{"job": "1"}'""")
    db.commit()
    db.close()
    with Store(path) as store, pytest.raises(DataError, match=r"s\.sqlite: key"):
        store.measurements("s", ["conv"])


def test_a_visit_in_the_place_of_another_is_refused(tmp_path):
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        store.add(one("1", subject="conv"))
        store.add(one("2", subject="linear"))
    db = sqlite3.connect(path)
    db.execute("update measurements set body = (select body from measurements where job = '2')")
    db.commit()
    db.close()
    with Store(path) as store, pytest.raises(DataError, match="holds a visit to something else"):
        store.measurements("s", ["conv"])


OPENER = """
import sys
from pathlib import Path
from hwnat.records.store import Store
for path in sys.argv[1:]:
    sys.stdin.readline()
    with Store(Path(path)) as store:
        store.runs()
"""


def test_several_processes_may_open_a_new_store_at_once(tmp_path):
    open_together([str(tmp_path / f"{number}.sqlite") for number in range(20)])


def open_together(paths):
    """Open each of `paths` in four processes at once."""
    argv = [sys.executable, "-c", OPENER, *paths]
    openers = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for _ in paths:
        for opener in openers:
            with contextlib.suppress(BrokenPipeError):
                opener.stdin.write("\n")
                opener.stdin.flush()
    assert [opener.communicate()[1] for opener in openers] == [""] * 4
    assert [opener.returncode for opener in openers] == [0] * 4


def test_a_store_that_another_process_fills_meanwhile_is_opened(tmp_path, monkeypatch):
    path, is_empty, others = tmp_path / "s.sqlite", Store._is_empty, []

    def late(store):
        empty = is_empty(store)
        if not others:
            others.append(store)
            with Store(path) as other:
                other.add(one())
        return empty

    monkeypatch.setattr(Store, "_is_empty", late)
    with Store(path) as store:
        assert store.jobs("s") == {"1"}


def test_a_transaction_keeps_other_writers_out_from_its_start(tmp_path):
    with Store(tmp_path / "s.sqlite") as store, store._transaction():
        other = sqlite3.connect(store.path, timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            other.execute("begin immediate")
        other.close()


def test_a_measurement_that_fails_half_way_is_not_kept(tmp_path):
    states = Conditions(at="a", temperature_c=20.0), Conditions(at="b", temperature_c="hot")
    with Store(tmp_path / "s.sqlite") as store:
        with pytest.raises(TypeError):
            store.add(one(before=states[0], after=states[1]))
        assert store.jobs("s") == frozenset()
        store.add(one())
        assert store.jobs("s") == {"1"}


def test_a_fifo_is_no_store(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="not a regular file"):
        Store(tmp_path / "fifo")


def test_a_folder_is_no_store(tmp_path):
    with pytest.raises(UsageError, match="Cannot open store"):
        Store(tmp_path)

"""Programs that fail, hang, sway or are slow on a device; each visit is counted once."""

import hashlib
import json
import threading

import pytest

from hwnat.errors import DeviceError


def test_a_hung_a_killed_and_a_failed_program_are_started_again(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine)
    place.faults("case $count in 2) sleep 30;; 3) kill -SEGV $$;; 5) exit 7;; esac")
    place.make(4, limit_s=1)
    place.check(jobs_of, 4)
    assert len(place.started) == 7
    for words in ("was killed at its time limit", "ended with 139", "ended with 7"):
        assert words in place.said


def test_a_model_that_cannot_be_run_is_named_and_all_others_are_kept(
    this_machine, elsewhere, jobs_of
):
    place = elsewhere(this_machine)
    place.faults("case $(wc -c <\"$1\") in 13) echo 'no kernel for FOO' >&2; exit 3;; esac")
    words = (
        r"1 visit failed every time.* model-12: .*ended with 3; it printed last: no kernel for FOO"
    )
    with pytest.raises(DeviceError, match=rf"{words}.*hwnat device doctor elsewhere.* 5 of 6"):
        place.make(6)
    assert len(jobs_of(place.folder / "s.sqlite")) == 5
    place.faults("")
    place.make(6)
    place.check(jobs_of, 6)


def test_a_program_that_never_works_is_not_tried_for_ever(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine)
    place.faults("exit 127")
    with pytest.raises(DeviceError, match=r"ended with 127; it printed last: nothing.*0 of 40"):
        place.make(40)
    assert len(place.started) == 9
    assert not jobs_of(place.folder / "s.sqlite")


def test_a_visit_that_was_not_steady_is_made_again_last(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine)
    place.faults("[ $count = 2 ] && second=700")
    place.make(4)
    place.check(jobs_of, 4)
    assert place.started[1] == place.started[-1]
    assert "was not steady: the reference model's time changed by 40%" in place.said


def test_a_device_that_is_never_steady_stops_the_profile(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine)
    place.faults("second=700")
    with pytest.raises(DeviceError, match=r"failed every time.*was not steady.*0 of 3 visits"):
        place.make(3)
    assert not jobs_of(place.folder / "s.sqlite")


def test_a_damaged_result_is_not_counted(this_machine, elsewhere, jobs_of):
    from elsewhere import a_timer

    place = elsewhere(this_machine)
    with a_timer(place.file) as timer:
        setup = timer.setup(reference="model-7", batch=1)
    results = place.at(f"jobs/{setup.id}/results")
    results.mkdir(parents=True)
    for each in (results.parent.parent, results.parent, results):
        each.chmod(0o777)
    whole = f"{setup.job('model-11', 0)}.{'0' * 64}"
    (results / whole).write_bytes(b"\xff" * 100)
    (results / "model; rm -rf.0").write_text("no result")
    place.make(3)
    place.check(jobs_of, 3)
    assert "does not match its hash" in place.said


def test_a_program_that_holds_one_model_takes_turns_by_processes(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine, runner="stub-processes")
    setup = place.make(2)
    assert setup.alternation == "processes"
    assert len(place.started) == 6
    assert place.started[0] == place.started[2] == place.started[3] == place.started[5]
    found = [json.loads(body) for body in jobs_of(place.folder / "s.sqlite").values()]
    assert sorted(each["samples_ns"] for each in found) == [[1010] * 2, [1011] * 2]
    assert [each["reference_ns"] for each in found] == [[1007] * 4] * 2


def test_two_commands_for_one_device_take_turns(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine)
    place.faults("sleep 0.1")
    failed = []

    def other():
        try:
            place.make(4)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=other) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed
    place.check(jobs_of, 4)


def test_a_program_that_floods_costs_its_own_visit_only(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine)
    place.faults("case $count in 3) head -c 100000000 /dev/zero | tr '\\0' a; exit 0;; esac")
    place.make(5)
    place.check(jobs_of, 5)
    assert len(place.started) == 6
    assert "ended with 153; it printed last: it printed" in place.said
    assert "at most 1048576 are read" in place.said


def test_a_result_that_is_too_large_is_removed_and_the_visit_repeated(
    this_machine, elsewhere, jobs_of
):
    from elsewhere import a_timer

    place = elsewhere(this_machine)
    with a_timer(place.file) as timer:
        setup = timer.setup(reference="model-7", batch=1)
    results = place.at(f"jobs/{setup.id}/results")
    results.mkdir(parents=True)
    with (results / f"{setup.job('model-11', 0)}.{'0' * 64}").open("wb") as file:
        file.truncate(100 << 20)
    place.make(3)
    place.check(jobs_of, 3)
    assert "the result is over 8 MiB" in place.said
    assert not list(results.iterdir())


@pytest.fixture
def soon_frozen(monkeypatch):
    from hwnat.remote import blocks, profile

    monkeypatch.setattr(profile, "_FROZEN_S", 1.0)
    monkeypatch.setattr(blocks, "_STOP_S", 2)


FREEZE = """
for pid in "${here%/*}"/jobs/*/block-*/pid; do :; done
read -r driver <"$pid"
"""


@pytest.mark.usefixtures("soon_frozen")
def test_a_driver_that_freezes_once_costs_its_own_visit_only(this_machine, elsewhere, jobs_of):
    place = elsewhere(this_machine)
    place.faults(f"[ $count = 2 ] && {{ {FREEZE} kill -STOP $driver; }}")
    place.make(4, limit_s=1)
    place.check(jobs_of, 4)
    assert "elsewhere finished no visit for" in place.said
    assert "so its block was stopped" in place.said


@pytest.mark.slow
@pytest.mark.usefixtures("soon_frozen")
def test_a_driver_that_always_freezes_ends_the_profile_with_a_remedy(this_machine, elsewhere):
    place = elsewhere(this_machine)
    place.faults(f"{{ {FREEZE} kill -STOP $driver; }}")
    words = r"finished no visit for .*hwnat device doctor elsewhere.* 0 of 8 visits are kept"
    with pytest.raises(DeviceError, match=words):
        place.make(8, limit_s=1)


def prints(count, model, reference):
    """Return lines of shell that have one start print these times in ns."""
    return (
        f'[ $count = {count} ] && {{ echo "hwnat-run 1\nruntime stub 1\nmodel_ns {model} {model}\n'
        f"reference_ns {reference} {reference}\ndisturbed 0\n"
        f'end 4 {2 * (model + reference)}"; exit 0; }}'
    )


@pytest.mark.parametrize(("model", "reference"), [(20 * 10**9, 500), (1010, 10**14)])
def test_a_visit_whose_runs_took_longer_than_it_is_made_again(
    this_machine, elsewhere, jobs_of, model, reference
):
    place = elsewhere(this_machine)
    place.faults(prints(3, model, reference))
    place.make(8)
    place.check(jobs_of, 8)
    assert len(place.started) == 9
    assert "its runs add up to" in place.said


@pytest.mark.parametrize(("reference", "took"), [(5000, "0.005"), (50, "5e-05")])
def test_a_reference_out_of_all_proportion_is_made_again(
    this_machine, elsewhere, jobs_of, reference, took
):
    place = elsewhere(this_machine)
    # Four visits before it are enough to know the usual time.
    place.faults(prints(5, 1010, reference))
    place.make(8)
    place.check(jobs_of, 8)
    assert f"the reference model took {took} ms, but 0.0005 ms in other visits" in place.said


@pytest.fixture
def left_behind(this_machine, elsewhere):
    """Return a device on which a command left its first results, and their folder."""
    from elsewhere import Models, a_timer

    place = elsewhere(this_machine)
    with a_timer(place.file) as timer:
        setup = timer.setup(reference="model-7", batch=1)
        due = [(0, "model-10"), (0, "model-11")]
        visits = timer.visits(due, files=Models(place.folder), setup=setup, rounds=1)
        next(visits)
        results = place.at(f"jobs/{setup.id}/results")
        texts = {path.name: path.read_text() for path in results.iterdir()}
        visits.close()
    for path in results.iterdir():
        path.unlink()
    name, text = next(iter(texts.items()))
    (results / name).write_text(text)
    return place, results


def test_a_result_that_was_left_behind_counts(left_behind, jobs_of):
    place, _ = left_behind
    before = len(place.started)
    place.make(2)
    place.check(jobs_of, 2)
    assert len(place.started) == before + 1


def test_a_result_of_other_files_does_not_count(left_behind, jobs_of):
    place, _ = left_behind
    # All ratios rest on the reference model, and it is another one now.
    (place.folder / "model-7.stub").write_text("another\n")
    before = len(place.started)
    place.make(2)
    place.check(jobs_of, 2)
    assert len(place.started) == before + 2


def test_two_results_of_one_visit_count_once(left_behind):
    from elsewhere import Models, a_timer

    place, results = left_behind
    (path,) = results.iterdir()
    mark = path.read_text().partition(" ")[0]
    text = path.read_text().replace(mark, f"hwnat-{'0' * 32}")
    digest = hashlib.sha256(text.encode()).hexdigest()
    (results / f"{path.name.partition('.')[0]}.{digest}").write_text(text)
    with a_timer(place.file) as timer:
        setup = timer.setup(reference="model-7", batch=1)
        due = [(0, "model-10"), (0, "model-11")]
        visits = timer.visits(due, files=Models(place.folder), setup=setup, rounds=1)
        assert sorted(visit.subject for visit in visits) == ["model-10", "model-11"]


def test_a_result_that_names_another_visit_than_its_file_does_not_count(left_behind, jobs_of):
    place, results = left_behind
    (path,) = results.iterdir()
    job = path.name.partition(".")[0]
    text = path.read_text().replace(f" visit\n{job}\n", f" visit\n{'0' * 24}\n")
    assert text != path.read_text()
    path.unlink()
    (results / f"{job}.{hashlib.sha256(text.encode()).hexdigest()}").write_text(text)
    before = len(place.started)
    place.make(2)
    place.check(jobs_of, 2)
    assert len(place.started) == before + 2

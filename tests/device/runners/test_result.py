import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.device.runners.result import read_result, read_version
from hwnat.errors import DataError

NS = st.integers(min_value=1, max_value=10**12)
SERIES = st.lists(NS, min_size=1, max_size=6)


def printed(model=(123, 456), reference=(100, 101), disturbed=3, *, total=True):
    numbers = [*model, *reference]
    lines = ["hwnat-run 1", "runtime litert 2.3.0", f"model_ns {' '.join(map(str, model))}"]
    if reference:
        lines.append(f"reference_ns {' '.join(map(str, reference))}")
    end = f"end {len(numbers)} {sum(numbers)}" if total else f"end {len(numbers)}"
    return "\n".join([*lines, f"disturbed {disturbed}", end, ""])


def read(text):
    return read_result(text, where="visit 7 on board")


@given(SERIES, st.lists(NS, max_size=6), st.integers(0, 99), st.booleans())
def test_all_that_was_printed_is_read(model, reference, disturbed, total):
    timed, name, version = read(printed(model, reference, disturbed, total=total))
    assert (timed.samples_ns, timed.reference_ns) == (tuple(model), tuple(reference))
    assert (timed.disturbed, name, version) == (disturbed, "litert", "2.3.0")


@given(SERIES, SERIES, st.integers(0, 99))
def test_an_output_cut_anywhere_is_refused(model, reference, disturbed):
    whole = printed(model, reference, disturbed)
    for length in range(len(whole)):
        with pytest.raises(DataError, match=r"^visit 7 on board: "):
            read(whole[:length])
    lines = whole.splitlines(keepends=True)
    for left_out in (0, 1, 2, 4, 5):  # the reference may be absent, but then the count is wrong
        with pytest.raises(DataError):
            read("".join(lines[:left_out] + lines[left_out + 1 :]))
    with pytest.raises(DataError):
        read("".join(lines[:3] + lines[4:]))


@given(SERIES, SERIES, st.data())
def test_a_changed_byte_changes_no_time(model, reference, data):
    whole = printed(model, reference).encode()
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda each: each != whole[at]))
    damaged = (whole[:at] + bytes([byte]) + whole[at + 1 :]).decode("utf-8", "replace")
    try:
        timed = read(damaged)[0]
    except DataError:
        return
    assert (timed.samples_ns, timed.reference_ns) == (tuple(model), tuple(reference))


@given(st.text())
def test_what_another_program_prints_is_refused(text):
    with pytest.raises(DataError):
        read(text)
    with pytest.raises(DataError):
        read(printed() + text + "x")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", "printed nothing"),
        ("hwnat-run 2\nruntime a 1\n", "Install the program again with: hwnat device setup"),
        ("\x1b[31mBus error\n", "The output begins: Bus error"),
        (printed(model=(0, 4)), "damaged"),
        (printed().replace("123", "-123"), "damaged"),
        ("hwnat-run 1\n", "cut off"),
        (printed().replace("end 4", "end 5"), "counts 5"),
        (printed().replace("123", "124"), "do not add up"),
        (printed().replace("\n", "\r\n"), "damaged"),
        (printed().replace("123 456", "123  456"), "damaged"),
        (printed().replace("123", "1e3"), "damaged"),
        (printed().replace("123", "\u0661"), "damaged"),
        (printed() + printed(), "damaged"),
        ("hwnat-run 1\nruntime litert 2.3.0\nend 0 0\n", "damaged"),
    ],
)
def test_a_message_says_what_is_wrong(output, words):
    with pytest.raises(DataError) as caught:
        read(output)
    assert words in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_version_is_read_whole():
    assert read_version("hwnat-run 1\nruntime tflite 2.17.1\nend 0 0\n", where="x") == (
        "tflite",
        "2.17.1",
        None,
    )
    told = "hwnat-run 1\nruntime litert 2.3.0\nsource 0123456789ab\nend 0 0\n"
    assert read_version(told, where="x") == ("litert", "2.3.0", "0123456789ab")
    for bad in ("", "hwnat-run 1\nruntime tflite 2.17.1\n", printed(), "hwnat-run 1\nend 0 0\n"):
        with pytest.raises(DataError, match=r"^x: "):
            read_version(bad, where="x")

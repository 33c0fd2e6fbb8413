"""Each trap, planted; and that a clean table has none."""

from dataclasses import replace

import pytest

from hwnat.records.cost import op_cost
from hwnat.records.op import OpSpec
from hwnat.records.space import MBV3_NANO
from hwnat.table import rules
from hwnat.table.calibrate import NetworkCheck
from hwnat.table.importers.base import NetworkTotal
from hwnat.table.lint import RULES, lint
from hwnat.table.subject import Subject

GENOMES = [
    MBV3_NANO.encode(genome)
    for genome in (MBV3_NANO.smallest(), MBV3_NANO.largest(), (1, 0, *[5] * 20))
]


def cost_ns(key, factor=1.0):
    """A device without surprises: time for starting, and for each MAC."""
    return round(factor * (3_000.5 + op_cost(OpSpec.from_key(key)).macs / 11))


@pytest.fixture
def clean(a_table, an_entry):
    """Build the subject of a table in which nothing is wrong: `clean(factor=2)`."""

    def build(factor=1.0, device="phone", **changes):
        table = a_table(resolutions=(24, 28, 32))
        entries = {key: an_entry(cost_ns(key, factor)) for key in table.entries}
        subject = Subject.of_table(replace(table, entries=entries), name=f"{device}.json")
        nets = [
            NetworkTotal(
                name=genome,
                keys=subject.keys_of(genome),
                measured_ns=round(1.031 * sum(entries[k].p50_ns for k in subject.keys_of(genome))),
            )
            for genome in GENOMES
        ]
        return replace(subject, device=device, networks=tuple(nets), **changes)

    return build


def changed(subject, entry_of):
    """Change entries: `entry_of(key, entry)` returns the new one, None for none."""
    entries = {key: entry_of(key, entry) for key, entry in subject.entries.items()}
    return replace(subject, entries={key: entry for key, entry in entries.items() if entry})


def scaled(entry, factor):
    names = ("p10_ns", "p50_ns", "p90_ns", "low_ns", "high_ns")
    return replace(entry, **{name: max(1, round(getattr(entry, name) * factor)) for name in names})


def found(outcome):
    assert not isinstance(outcome, str), outcome
    return [(each.severity, each.where, each.key) for each in outcome]


def a_key(subject, *parts):
    return next(key for key in subject.entries if all(part in key for part in parts))


def test_clean_tables_of_two_devices_pass_every_rule(clean):
    report = lint([clean(), clean(1.83, device="other")])
    assert report.findings == ()
    assert report.not_applied == {}


def test_every_rule_is_described():
    assert {name.partition(" ")[0] for name, _ in rules.ALL} <= set(RULES)


def test_entries_copied_from_another_device(clean):
    one, other = clean(), clean(1.83, device="other")
    keys = list(one.entries)[5:9]
    taken = changed(one, lambda key, entry: other.entries[key] if key in keys else entry)
    (finding,) = rules.copied([taken, other])
    assert (finding.severity, finding.key) == ("error", keys[0])
    assert "4 of 198 entries" in finding.message
    assert "other.json" in finding.message


def test_equal_entries_of_one_device_are_no_copies(clean):
    assert (
        rules.copied([clean(), clean()]) == "needs tables of two devices with operations in common"
    )


def test_coarse_clocks_make_equal_values_by_chance(clean, an_entry):
    one = changed(clean(), lambda _, entry: an_entry(entry.p50_ns // 1_000 * 1_000))
    other = changed(clean(1.05, device="b"), lambda _, e: an_entry(e.p50_ns // 1_000 * 1_000))
    equal = [key for key in one.entries if one.entries[key].p50_ns == other.entries[key].p50_ns]
    assert equal
    assert rules.copied([one, other]) == []


def test_one_total_that_is_exactly_the_sum(clean):
    subject = clean()
    first, *rest = subject.networks
    total = subject.overhead_ns + sum(subject.entries[key].p50_ns for key in first.keys)
    planted = replace(subject, networks=(replace(first, measured_ns=total), *rest))
    assert found(rules.total_is_sum([planted])) == [("error", "phone.json", first.name)]


def test_a_total_that_is_the_sum_of_its_own_rows(clean):
    subject = clean()
    first, *rest = subject.networks
    added = replace(first, sum_ns=first.measured_ns, unmapped=("PAD",))
    planted = replace(subject, networks=(added, *rest))
    assert found(rules.total_is_sum([planted])) == [("error", "phone.json", first.name)]


def test_totals_that_all_agree_with_the_sum_too_well(clean):
    subject = clean()

    def rounded_sum(net):
        total = subject.overhead_ns + sum(subject.entries[key].p50_ns for key in net.keys)
        return replace(net, measured_ns=round(total * 1.0004))

    planted = replace(subject, networks=tuple(map(rounded_sum, subject.networks)))
    assert [key for _, _, key in found(rules.total_is_sum([planted]))] == GENOMES
    assert rules.total_is_sum([replace(planted, networks=planted.networks[:2])]) == []


def test_totals_are_not_judged_where_operations_are_missing(clean):
    subject = clean()
    nets = tuple(replace(net, unmapped=("PAD",)) for net in subject.networks)
    assert "--network" in rules.total_is_sum([replace(subject, networks=nets)])


def test_times_in_whole_milliseconds(clean, an_entry):
    planted = changed(clean(1_000.0), lambda _, entry: an_entry(-(-entry.p50_ns // 10**6) * 10**6))
    ((severity, where, key),) = found(rules.rounded([planted]))
    assert (severity, where) == ("error", "phone.json")
    assert key in planted.entries


def test_a_few_whole_milliseconds_are_chance(clean, an_entry):
    keys = list(clean().entries)[:4]
    planted = changed(clean(), lambda key, entry: an_entry(10**6) if key in keys else entry)
    assert rules.rounded([planted]) == []


def test_network_latencies_in_whole_milliseconds(clean):
    subject = clean()
    nets = tuple(
        replace(net, measured_ns=(i + 1) * 10**6) for i, net in enumerate(subject.networks)
    )
    assert found(rules.rounded([replace(subject, networks=nets)])) == [
        ("warning", "phone.json", "")
    ]


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_whole_table_in_another_unit_than_another(clean, factor):
    planted = changed(clean(1.83, device="b"), lambda _, entry: scaled(entry, factor))
    one = clean()
    ((severity, where, _),) = found(rules.unit_against([one, planted]))
    assert (severity, where) == ("error", "phone.json")
    assert rules.unit_against([one, clean(9.0, device="b")]) == []


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_whole_table_with_a_throughput_that_no_device_has(clean, factor):
    planted = changed(clean(), lambda _, entry: scaled(entry, factor))
    ((severity, _, key),) = found(rules.wrong_unit([planted]))
    assert severity == "error"
    assert key in planted.entries
    assert "check the unit" in rules.wrong_unit([planted])[0].message


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_one_entry_in_another_unit(clean, factor):
    subject = clean()
    odd = max(subject.entries, key=lambda key: subject.entries[key].p50_ns)
    planted = changed(subject, lambda key, e: scaled(e, factor) if key == odd else e)
    assert found(rules.wrong_unit([planted])) == [("error", "phone.json", odd)]


def test_a_cost_that_falls_as_the_kernel_grows(clean, an_entry):
    subject = clean()
    large = a_key(subject, "mbconv|", "|k=7|", "skip=1")
    small = large.replace("k=7", "k=5")
    ns = subject.entries[small].p50_ns
    planted = changed(subject, lambda key, e: an_entry(ns * 9 // 10) if key == large else e)
    (finding,) = rules.falls([planted])
    assert (finding.severity, finding.key) == ("warning", large)
    assert "kernel 7" in finding.message
    within = changed(subject, lambda key, e: an_entry(ns * 99 // 100) if key == large else e)
    assert rules.falls([within]) == []


def test_a_cost_that_falls_as_the_width_grows(clean, an_entry):
    subject = clean()
    small = a_key(subject, "mbconv|in=1x4x4x32|mid=96|out=40")
    large = next(key for key in subject.entries if "|in=1x4x4x32|mid=128|out=40|k=3" in key)
    small = small.partition("|k=")[0] + "|k=3|" + small.partition("|k=")[2].partition("|")[2]
    ns = subject.entries[small].p50_ns // 2
    planted = changed(subject, lambda key, e: an_entry(ns) if key == large else e)
    assert large in [key for _, _, key in found(rules.falls([planted]))]
    assert any("expanded width 128" in each.message for each in rules.falls([planted]))


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (
            "dwconv|in=1x8x8x16|out=16|k=3|s=1|act=relu|float32",
            "dwconv|in=1x8x8x32|out=32|k=3|s=1|act=relu|float32",
        ),
        ("linear|in=1x1x1x64|out=10|float32", "linear|in=1x1x1x64|out=100|float32"),
        ("linear|in=1x1x1x64|out=10|float32", "linear|in=1x1x1x640|out=10|float32"),
    ],
)
def test_operators_have_widths_too(an_entry, small, large):
    sound = {small: an_entry(5_000), large: an_entry(9_000)}
    planted = {small: an_entry(5_000), large: an_entry(3_000)}
    subjects = [Subject(name="t", device="d", entries=each) for each in (sound, planted)]
    assert rules.falls(subjects[:1]) == []
    assert found(rules.falls(subjects[1:])) == [("warning", "t", large)]


def test_the_largest_fall_comes_first(an_entry):
    keys = [f"linear|in=1x1x1x64|out={out}|float32" for out in (10, 20, 30)]
    costs = dict(zip(keys, (9_000, 8_000, 2_000), strict=True))
    entries = {key: an_entry(ns) for key, ns in costs.items()}
    outcome = rules.falls([Subject(name="t", device="d", entries=entries)])
    assert [key for _, _, key in found(outcome)] == [keys[2], keys[1]]


def test_widths_that_other_operands_decide_are_not_compared(an_entry):
    entries = {
        "concat|in=1x8x8x16|out=64|n=2|float32": an_entry(9_000),
        "concat|in=1x8x8x32|out=64|n=2|float32": an_entry(5_000),
    }
    subject = Subject(name="t", device="d", entries=entries)
    assert rules.falls([subject]) == "no two operations differ in a kernel or a width alone"


def test_without_intervals_a_fall_must_be_large(an_entry):
    small, large = ("linear|in=1x1x1x64|out=10|float32", "linear|in=1x1x1x64|out=100|float32")
    for ns, count in ((4_600, 0), (4_400, 1)):
        entries = {
            small: an_entry(5_000, low_ns=5_000, high_ns=5_000),
            large: an_entry(ns, low_ns=ns, high_ns=ns),
        }
        assert len(rules.falls([Subject(name="t", device="d", entries=entries)])) == count


def test_a_published_network_without_its_own_blocks(clean):
    subject = replace(clean(), networks=()).with_networks([(GENOMES[1], None), (GENOMES[0], 900)])
    assert rules.missing([subject]) == []
    large, small = subject.named[0].keys, subject.networks[0].keys
    key = next(key for key in large if key not in small)
    planted = changed(subject, lambda each, entry: None if each == key else entry)
    assert ("error", "phone.json", GENOMES[1]) in found(rules.missing([planted]))
    assert ("error", "phone.json", GENOMES[0]) not in found(rules.missing([planted]))


def test_a_space_with_holes(clean):
    subject = clean()
    key = a_key(subject, "|k=5|")
    outcome = rules.missing([changed(subject, lambda each, e: None if each == key else e)])
    assert ("warning", "phone.json", key) in found(outcome)


def test_networks_of_an_operator_file_lack_what_it_does_not_list(an_entry):
    key = "linear|in=1x1x1x64|out=10|float32"
    net = NetworkTotal(name="net", keys=(key,), measured_ns=9, unmapped=("PAD",))
    subject = Subject(name="t", device="d", entries={key: an_entry(5)}, networks=(net,))
    assert found(rules.missing([subject])) == [("warning", "t", "net")]


def test_deviations_above_a_fifth_of_the_mean(clean):
    subject = clean()
    key = next(iter(subject.entries))
    for spread, expected in ((0.28, [("warning", "phone.json", key)]), (0.26, [])):
        planted = changed(
            subject, lambda each, e, s=spread: replace(e, spread=s) if each == key else e
        )
        assert found(rules.noisy([planted])) == expected


def test_deviations_of_whole_networks_count_too(clean):
    subject = clean()
    first, *rest = subject.networks
    noisy = replace(first, std_ns=first.measured_ns // 4)
    planted = replace(subject, networks=(noisy, *rest))
    assert found(rules.noisy([planted])) == [("warning", "phone.json", first.name)]


def test_findings_name_the_line_if_there_is_one(clean):
    subject = clean()
    key = next(iter(subject.entries))
    planted = changed(subject, lambda each, e: replace(e, spread=1.0) if each == key else e)
    placed = replace(planted, places={key: "file.yaml:7"})
    assert found(rules.noisy([placed])) == [("warning", "file.yaml:7", key)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("copied", "two devices"),
        ("total-is-sum", "--network"),
        ("wrong-unit", "three entries"),
        ("wrong-unit (two tables)", "two tables"),
        ("falls", "no two operations"),
        ("missing-blocks", "needs a space"),
        ("noisy", "no entry has a spread"),
    ],
)
def test_a_rule_that_cannot_apply_says_why(an_entry, name, reason):
    entries = {"linear|in=1x1x1x64|out=10|float32": an_entry(5_000, spread=0.0)}
    report = lint([Subject(name="t", device="d", entries=entries)])
    assert reason in report.not_applied[name]
    assert not report.findings


def test_networks_of_a_table_are_those_it_was_fitted_and_judged_on(a_table):
    check = NetworkCheck(
        genome=GENOMES[0], sum_ns=5, ops=1, measured_ns=7, predicted_ns=6.0, error=0.1
    )
    subject = Subject.of_table(a_table(validation=(check,)), name="t")
    assert [(net.name, net.measured_ns) for net in subject.networks] == [(GENOMES[0], 7)]
    assert set(subject.networks[0].keys) <= set(subject.entries)

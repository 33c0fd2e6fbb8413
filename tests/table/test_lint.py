from hwnat.table.importers.base import Finding
from hwnat.table.lint import lint
from hwnat.table.subject import Subject


def a_finding(rule, severity):
    return Finding(rule=rule, severity=severity, where="f:1", key="k", message="m")


def test_errors_come_first_and_are_counted(an_entry):
    entries = {"linear|in=1x1x1x64|out=10|float32": an_entry(5_000, spread=0.9)}
    own = (a_finding("repeated-key", "warning"), a_finding("not-measured", "error"))
    report = lint([Subject(name="t", device="d", entries=entries, findings=own)])
    assert [each.rule for each in report.findings] == ["not-measured", "noisy", "repeated-key"]
    assert (report.errors, report.warnings) == (1, 2)


def test_findings_of_all_tables_are_reported():
    subjects = [
        Subject(name=n, device=n, entries={}, findings=(a_finding(n, "error"),)) for n in "ab"
    ]
    assert [each.rule for each in lint(subjects).findings] == ["a", "b"]

"""Find errors that make a latency table misleading although it can be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hwnat.table import rules
from hwnat.table.importers.base import Finding
from hwnat.table.subject import Subject

#: Rule to what it finds, and the input that it needs.
RULES: Final[Mapping[str, str]] = {
    "copied": "one device's entries in another's table; two or more tables",
    "total-is-sum": "a latency called measured that is the sum of entries; whole networks",
    "rounded": "times in whole milliseconds; any table",
    "conflicting-values": "one key with two values; any file",
    "repeated-key": "one key twice with one value; any file",
    "wrong-unit": "throughput that no device has, or 1000 times another table's; any table",
    "falls": "cost that falls as a kernel or width grows; any table",
    "not-measured": "0, -1 or NaN in the place of a latency; any file",
    "not-loaded": "a table that hwnat refuses for the entries named; our own tables",
    "missing-blocks": "networks or a space whose operations have no entry; block tables",
    "noisy": "standard deviation above 20 % of the mean; files with a spread",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LintReport:
    """Findings of all rules.

    Attributes:
        findings: errors first, each rule's together.
        not_applied: rule to the reason why it does not apply.
    """

    findings: tuple[Finding, ...]
    not_applied: Mapping[str, str]

    @property
    def errors(self) -> int:
        """Number of errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """Number of warnings."""
        return len(self.findings) - self.errors


def lint(subjects: Sequence[Subject]) -> LintReport:
    """Apply every rule to tables, one for each device, or several of one."""
    findings = [finding for subject in subjects for finding in subject.findings]
    not_applied = {}
    for name, rule in rules.ALL:
        outcome = rule(subjects)
        if isinstance(outcome, str):
            not_applied[name] = outcome
        else:
            findings += outcome
    findings.sort(key=lambda finding: (finding.severity, finding.rule))
    return LintReport(findings=tuple(findings), not_applied=not_applied)

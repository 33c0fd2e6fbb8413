"""Find what makes a latency table misleading although every number in it is a number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hwnat.table import rules
from hwnat.table.importers.base import Finding
from hwnat.table.subject import Subject

#: Every rule: what it finds, and what it can be applied to.
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
    """What lint found.

    Attributes:
        findings: errors first, each rule's together.
        not_applied: rule to the reason why it could not look.
    """

    findings: tuple[Finding, ...]
    not_applied: Mapping[str, str]

    @property
    def errors(self) -> int:
        """Number of findings that no table should have."""
        return sum(each.severity == "error" for each in self.findings)

    @property
    def warnings(self) -> int:
        """Number of findings that a reader should know."""
        return len(self.findings) - self.errors


def lint(subjects: Sequence[Subject]) -> LintReport:
    """Apply every rule to tables, one for each device, or several of one."""
    found = [finding for each in subjects for finding in each.findings]
    not_applied = {}
    for name, rule in rules.ALL:
        outcome = rule(subjects)
        if isinstance(outcome, str):
            not_applied[name] = outcome
        else:
            found += outcome
    found.sort(key=lambda each: (each.severity, each.rule))
    return LintReport(findings=tuple(found), not_applied=not_applied)

"""The last line of a run: how many tests were skipped, and what would bring them."""

import re
from collections import Counter

#: What a reason for skipping names, and what the reader can do about it. The first match counts.
REMEDIES = (
    (r"HWNAT_SHARED_DATA", "set HWNAT_SHARED_DATA to a folder of published measurements"),
    (r"namespaces|not permitted", "use a machine that permits namespaces and real-time priority"),
    (
        r"apt-get install|\.ci/run|fetch|on this machine|Debian|util-linux",
        "run .ci/run as root on Debian",
    ),
    (r"pip install|could not import|No module named", "run make install"),
    (r"GPU|provider|processor", "use a machine with another accelerator"),
)
OTHER = "need another machine"


def remedy(reason):
    """Return what brings a test back that was skipped for `reason`."""
    matches = (text for pattern, text in REMEDIES if re.search(pattern, reason, re.IGNORECASE))
    return next(matches, OTHER)


def last_line(reasons):
    """Sum the reasons up; empty if there are none."""
    counts = Counter(map(remedy, reasons))
    if not counts:
        return ""
    parts = [f"{count}: {text}" for text, count in counts.most_common()]
    return f"{counts.total()} skipped. To run them, {'; '.join(parts)}."


def reasons_of(reporter):
    """List the reasons of a terminal reporter's skipped tests."""
    skipped = reporter.stats.get("skipped", ())
    return [report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)]

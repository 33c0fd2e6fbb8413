"""Check the prose of Markdown pages and of Python docstrings with proselint.

python tools/check_prose.py [FILE ...]    default: every page and every file of hwnat/

Code blocks, code spans and tables of numbers are not prose and are left out.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from proselint.checks import __register__
from proselint.config import DEFAULT, Config
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

ROOT = Path(__file__).parents[1]
#: Terms of the field that proselint takes for slips.
TERMS = re.compile(r"multiply-accumulate")
#: Typography is off: sources use straight quotes, and `x` in a shape is no multiplication sign.
#: Dates are off: a range of shapes after the word "from" is no range of dates.
CONFIG: Config = {
    **DEFAULT,
    "checks": {**DEFAULT["checks"], "typography": False, "dates_times": False},
}
FENCES = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINES = re.compile(r"^ {4,}.*$|`[^`\n]*(?:\n[^`\n]+)?`|^\|.*$|^.*>>>.*$", re.MULTILINE)


def without_code(text: str) -> str:
    """Blank out code and terms of the field; lines keep their numbers."""
    text = re.sub(r"^(#+ .*)$", r"\1.", text, flags=re.MULTILINE)  # a heading ends a sentence
    for pattern in (FENCES, LINES, TERMS):
        text = pattern.sub(lambda code: re.sub(r"[^\n]", "#", code[0]), text)
    return text


def prose(path: Path) -> str:
    """Return the prose of a file, each line at its own number: a page, or the docstrings."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return without_code(text)
    lines = [""] * (text.count("\n") + 2)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node) or ""
            start = node.body[0].lineno - 1 if docstring else 0
            lines[start : start + docstring.count("\n") + 1] = docstring.split("\n")
    return without_code("\n".join(lines))


def findings(path: Path) -> Iterator[str]:
    """Yield one line for each thing that proselint reports in a file."""
    for result in LintFile(str(path), prose(path)).lint(CONFIG):
        yield f"{path}:{result.pos[0]}: {result.check_result.message}"


def main(arguments: list[str]) -> int:
    """Check the named files; return 1 if proselint reports anything."""
    CheckRegistry().register_many(__register__)
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
    paths = [Path(argument) for argument in arguments] or sorted(
        [*pages, *ROOT.glob("hwnat/**/*.py")]
    )
    reports = [report for path in paths for report in findings(path)]
    for report in reports:
        print(report, file=sys.stderr)
    return int(bool(reports))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

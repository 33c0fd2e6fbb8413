"""What the documentation tells people to type can be typed; what is quick is really run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import click
import pytest

from hwnat.cli.main import app, main

ROOT = Path(__file__).parents[1]
MANUAL = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "examples/**/*.md")
PAGES = sorted(page for pattern in MANUAL for page in ROOT.glob(pattern))
#: What the quick commands get where the reader fills in a genome.
GENOME = "01011001100110011001100"
ENTRY_POINTS = ("spaces", "targets", "transports", "importers", "runners")
#: A command, after a prompt or as a step of a workflow.
COMMAND = re.compile(r"\s*(?:\$ |(?:- )?run: )?((?:hwnat|make|python) .*)")
#: Run in earnest.
QUICK = (["arch", "show"], ["device", "list"], ["predict"], ["table", "show"])


def commands():
    """Yield (page, line) of each command in a code block, continued lines joined."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        # A recorded screen breaks a long command at its last column.
        text = re.sub(r"^(\$ .{78})\n", r"\1", text, flags=re.MULTILINE)
        fenced = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        indented = "\n".join(re.findall(r"^ {4}.*$", text, re.MULTILINE))
        named = "\n".join(re.findall(r"`((?:hwnat|make) [a-z][^`]*)`", text))
        for line in (fenced + "\n" + indented + "\n" + named).splitlines():
            if found := COMMAND.fullmatch(line):
                yield page, found[1]


def words(line):
    """Split as a shell does, without the comment, up to what handles the exit code."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    found = list(lexer)
    end = next((i for i, word in enumerate(found) if set(word) <= set("|&;>")), len(found))
    assert "<" not in found[:end], f"the shell would read a file: {line}"
    return found[:end]


def is_prose(argv):
    """Tell a command that is only named from one that is spelled out."""
    return not any(word.startswith("-") for word in argv)


COMMANDS = sorted({(page.relative_to(ROOT), line) for page, line in commands()})
OURS = [(page, words(line)[1:]) for page, line in COMMANDS if line.startswith("hwnat ")]


def resolve(argv):
    """Walk to the command that `argv` names; return it with its own arguments."""
    command, context = app, click.Context(app, info_name="hwnat")
    while isinstance(command, click.Group) and argv and not argv[0].startswith("-"):
        _, command, argv = command.resolve_command(context, list(argv))
        context = click.Context(command, info_name=command.name, parent=context)
    return command, argv


def test_the_documentation_shows_the_commands():
    shown = {argv[0] for _, argv in OURS}
    assert {"arch", "profile", "predict", "search", "export", "demo", "table"} <= shown


@pytest.mark.parametrize(("page", "argv"), OURS, ids=lambda each: str(each)[:70])
def test_every_documented_command_and_option_exists(page, argv):
    del page
    command, rest = resolve(argv)
    listing = isinstance(command, click.Group) and not command.invoke_without_command
    if listing or is_prose(rest) or {"--help", "…"} & set(rest):
        return
    command.make_context(command.name, [word.strip("[]") for word in rest])


@pytest.mark.parametrize(
    "line", sorted({line for _, line in COMMANDS if line.startswith("make ")}), ids=str
)
def test_every_documented_make_target_exists(line):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [word for word in words(line)[1:] if "=" not in word]
    assert set(named) <= set(targets)


@pytest.mark.parametrize(
    "line", sorted({line for _, line in COMMANDS if line.startswith("python ")}), ids=str
)
def test_every_documented_script_exists(line):
    script = words(line)[1]
    assert script.startswith("-") or (ROOT / script).is_file()


@pytest.mark.parametrize(
    "argv",
    [
        argv
        for page, argv in OURS
        if page.parts[0] != "examples"
        and any(argv[: len(q)] == q for q in QUICK)
        and not is_prose(argv)
        and "--model" not in argv
    ],
    ids=lambda each: " ".join(each)[:70],
)
def test_quick_documented_commands_run(argv, a_table, tmp_path, monkeypatch, capsys):
    a_table().save(tmp_path / "table.json")
    tables = [word for word in argv if word == "TABLE" or word.endswith(".json")]
    filled = {"GENOME": GENOME, **dict.fromkeys(tables, str(tmp_path / "table.json"))}
    monkeypatch.setattr(sys, "argv", ["hwnat", *(filled.get(word, word) for word in argv)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0, capsys.readouterr().err
    assert capsys.readouterr().out


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "true"}
    done = subprocess.run(mkdocs, cwd=ROOT, capture_output=True, text=True, check=False, env=quiet)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").is_file()
    assert "load_table" in (tmp_path / "reference" / "index.html").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/**/*.md")]
    assert [page for page in pages if f": {page}\n" not in navigation] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_documented_name_exists(page):
    for name in re.findall(r"`(hwnat(?:\.\w+)+)`", page.read_text(encoding="utf-8")):
        if name.partition(".")[2] not in ENTRY_POINTS:
            resolve_name(name)


@pytest.fixture
def run_python(a_table, tmp_path, capsys):
    """Run the Python that a page shows after a heading; what it loads is a small table."""

    def run(page, heading=""):
        text = (ROOT / page).read_text(encoding="utf-8")
        lines = re.findall(r"^(?: {4}(.*))?$", text[text.index(heading) :], re.MULTILINE)
        a_table().save(tmp_path / "table.json")
        path = repr(str(tmp_path / "table.json"))
        exec(re.sub(r'"latency_tables/[^"]*"', path, "\n".join(lines)), {})
        return capsys.readouterr().out

    return run


def test_the_documented_python_runs(run_python):
    macs, latency = run_python("docs/pipeline.md", "## From Python").split()
    assert int(macs) > 1_000_000
    assert float(latency.strip("[]")) > 100_000


def test_the_documented_queries_run(run_python):
    bounds, best = run_python("docs/queries.md").splitlines()
    least_ns, most_ns = map(float, bounds.split())
    assert least_ns < float(best.split()[-1]) < most_ns

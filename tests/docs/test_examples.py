"""The examples of the documentation are run, page by page, in an empty folder.

A fenced block says in its info string what it is:

- ``title=NAME``: a file, written (again) when the reader comes to it;
- ``console``: lines that begin with ``$ `` are run by a shell; the lines after one must appear in its output, in
  this order, with ``...`` for what differs. ``exit=N`` is the exit code of the block's last command, default 0.

``pip install`` is not run. Blocks without a title are read by the parser of their language.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_mle.yaml_with_lines import read_yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *(path for path in (ROOT / "CONTRIBUTING.md",) if path.is_file())])
_FENCE = re.compile(r"^```(?P<info>\S[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    options: dict[str, str]
    body: str
    line: int


def blocks_of(page):
    """Return the fenced blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language, *words = match["info"].split()
        options = dict(word.partition("=")[::2] for word in words)
        found.append(Block(language, options, match["body"], text.count("\n", 0, match.start()) + 1))
    return found


def name_of(page):
    """Return a page's name for test ids."""
    return page.relative_to(ROOT).as_posix()


RUNNABLE = [page for page in PAGES if any(block.language == "console" for block in blocks_of(page))]


@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_page(page, tmp_path):
    """Every command of a page does what the page shows, with the files that the page shows."""
    for block in blocks_of(page):
        if "title" in block.options:
            target = tmp_path / block.options["title"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.body, encoding="utf-8")
        elif block.language == "console":
            run_console(block, tmp_path, f"{name_of(page)}:{block.line}")


def run_console(block, folder, place):
    """Run the commands of a block and compare what they print."""
    steps = [
        (step.partition("\n")[0], step.partition("\n")[2])
        for step in re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]
    ]
    assert steps, f"{place}: a console block needs a line that begins with '$ '"
    for number, (command, expected) in enumerate(steps, 1):
        if command.startswith("pip install"):
            continue
        done = run(command, folder)
        code = int(block.options.get("exit", "0")) if number == len(steps) else 0
        assert done.returncode == code, f"{place}: {command} gave {done.returncode}:\n{done.stdout}"
        missing = first_missing(expected, done.stdout)
        assert missing is None, f"{place}: {command} did not print\n{missing}\nbut\n{done.stdout}"


def run(command, folder):
    """Run a command as a reader would: in the folder, with this environment's programs."""
    names = ("PATH", "HOME", "LANG", "TMPDIR", "OMP_NUM_THREADS")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    environment |= {"COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )


def first_missing(expected, output):
    """Return the first expected line that does not follow the one before it in the output; None if all do."""
    lines = iter(" ".join(line.split()) for line in output.splitlines())
    for wanted in (" ".join(line.split()) for line in expected.splitlines()):
        pattern = re.compile(".*".join(re.escape(part) for part in wanted.split("...")))
        if wanted not in ("", "...") and not any(pattern.search(line) for line in lines):
            return wanted
    return None


def test_a_line_that_is_not_printed_is_found():
    """The comparison notices a line that is missing, changed or in the wrong place."""
    output = "one\n  two   words\nthree 3.1 s\n"
    assert first_missing("one\n...\nthree ... s\n", output) is None
    assert first_missing("two words", output) is None
    assert first_missing("one\nfour", output) == "four"
    assert first_missing("three\none", output) == "one"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_untitled_blocks_can_be_parsed(page):
    """A fragment that cannot be run is at least valid YAML or Python."""
    for block in blocks_of(page):
        place = f"{name_of(page)}:{block.line}"
        if block.language == "yaml":
            read_yaml(block.body, place)
        elif block.language == "python":
            ast.parse(block.body, place)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    """Every relative link names a file that exists, and every anchor a heading in it."""
    text = re.sub(_FENCE, "", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in anchors_of(linked), f"{name_of(page)} links to {target}"


def anchors_of(page):
    """Return the anchors of a page's headings, as GitLab and GitHub make them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(_FENCE, "", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

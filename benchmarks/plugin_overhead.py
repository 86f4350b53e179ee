"""What the plugin costs beside plain pytest: time and memory of an item, start-up without a spec, an empty project.

Run: python benchmarks/plugin_overhead.py [--items 10000] [--repeats 3] [--only items memory startup empty]

Whole processes, started in turns so that all see the same machine; user + system CPU time and peak memory are what the
kernel counted for the process (`os.wait4`). Medians, and ratios of the medians. Both sides write JUnit XML; ours writes
`results.json` besides. A checklist comes in two forms: one item in the YAML for each test case, and one item with a
parameter that takes as many values. Other pytest plugins are off.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PLAIN = """\
import pytest

@pytest.fixture
def constant():
    def measure():
        return {{"value": 1}}
    return measure

@pytest.mark.parametrize("number", range({items}))
def test_constant(constant, number):
    assert constant()["value"] == 1
"""
CONFTEST = """\
import pytest
import pytest_mle as mle

@pytest.fixture
def constant():
    @mle.check(quantities={"value": mle.exact("1")})
    def measure(*, number: int = 0):
        return {"value": 1}
    return measure
"""
HEAD = "mle_spec: 1\nproject: {name: Overhead}\nprocesses: []\nitems:\n"
ITEM = "  - {{id: C-{i}, title: Constant {i}, base_practice: MLE.{p}.BP{b}, check: constant, accept: [value == 1]}}\n"
PARAMETRIZED = """\
  - {{id: C, title: Constant, base_practice: MLE.4.BP3, check: constant, parametrize: {{number: {values}}},
      accept: [value == 1]}}
"""
BANNED = ("numpy", "yaml", "pydantic")
HEAVY = f"import sys, pytest; pytest.main(['-q', '--co']); print(*[m for m in {BANNED} if m in sys.modules])"

ENTRY = "import pytest, pytest_mle.plugin.hooks, pytest_mle.plugin.hookspecs"


@dataclass(frozen=True)
class Usage:
    """What one process used."""

    wall_s: float
    cpu_s: float
    peak_kb: int


def usage(folder: Path, *arguments: str, expected: int = 0, autoload: bool = False) -> Usage:
    """Run Python in a folder and return what the process used."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
    if not autoload:
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    with (folder / "output.txt").open("wb") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        _, status, resources = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != expected:
        sys.exit(f"exit code {process.returncode}: {arguments}\n{(folder / 'output.txt').read_text()[-3000:]}")
    return Usage(wall, resources.ru_utime + resources.ru_stime, resources.ru_maxrss)


class Sides:
    """A plain test module and the two forms of a checklist, each of the same number of test cases."""

    def __init__(self, folder: Path, items: int) -> None:
        self.items = items
        self._folders = {name: folder / f"{name}-{items}" for name in ("plain", "items", "parameter")}
        for one in self._folders.values():
            one.mkdir()
        (self._folders["plain"] / "test_constant.py").write_text(PLAIN.format(items=items))
        listed = "".join(ITEM.format(i=i, p=1 + i % 4, b=1 + i // 4 % 4) for i in range(items))
        values = PARAMETRIZED.format(values=list(range(items)))
        for name, text in (("items", listed), ("parameter", values)):
            (self._folders[name] / "conftest.py").write_text(CONFTEST)
            (self._folders[name] / "spec.yaml").write_text(HEAD + text)

    def usage(self, name: str, *arguments: str) -> Usage:
        """Run pytest on one side."""
        side = ["--junitxml=junit.xml"] if name == "plain" else ["-p", "mle", "--mle-spec=spec.yaml"]
        return usage(self._folders[name], "-m", "pytest", "-q", *side, *arguments)


def medians(sides: Sides, repeats: int, *arguments: str) -> dict[str, Usage]:
    """Run all sides in turns."""
    runs = {name: [] for name in ("plain", "items", "parameter")}
    for _ in range(repeats):
        for name, done in runs.items():
            done.append(sides.usage(name, *arguments))
    return {
        name: Usage(
            *(statistics.median(getattr(one, field) for one in done) for field in ("wall_s", "cpu_s", "peak_kb"))
        )
        for name, done in runs.items()
    }


def compare_items(folder: Path, items: int, repeats: int) -> None:
    sides = Sides(folder, items)
    for title, arguments in (("collect", ["--collect-only"]), ("run", [])):
        found = medians(sides, repeats, *arguments)
        for name, one in found.items():
            ratio = one.cpu_s / found["plain"].cpu_s
            print(
                f"{title:8} {name:10} {items} items: {1e3 * one.cpu_s / items:6.3f} ms CPU an item, "
                f"{1e3 * one.wall_s / items:6.3f} ms wall, {ratio:5.2f} times plain"
            )


def compare_memory(folder: Path, items: int, repeats: int) -> None:
    """Compare the growth of peak memory with the number of items, so that imported libraries do not count."""
    few, many = Sides(folder, items // 10), Sides(folder, items)
    small, large = medians(few, repeats), medians(many, repeats)
    growth = {name: (large[name].peak_kb - small[name].peak_kb) / (many.items - few.items) for name in small}
    for name, kilobytes in growth.items():
        print(
            f"memory   {name:10} {kilobytes:6.2f} kB an item, {kilobytes - growth['plain']:+6.2f} kB beside plain "
            f"(peak {large[name].peak_kb / 1024:.0f} MB)"
        )


def compare_startup(folder: Path, repeats: int) -> None:
    """Compare an ordinary repository with the plugin installed and with it blocked."""
    (folder / "test_ordinary.py").write_text("def test_ordinary():\n    pass\n")
    arguments = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    usage(folder, *arguments, autoload=True)
    runs: dict[str, list[Usage]] = {"installed": [], "blocked": []}
    imports = []
    for _ in range(repeats):
        runs["installed"].append(usage(folder, *arguments, autoload=True))
        runs["blocked"].append(usage(folder, *arguments, "-p", "no:mle", autoload=True))
        # pytest loads its plugins by importlib.import_module, which -X importtime does not see; so they are named here.
        usage(folder, "-X", "importtime", "-c", ENTRY, autoload=True)
        imports.append(_own_imports(folder / "output.txt"))
    usage(folder, "-c", HEAVY, autoload=True)
    installed, blocked = (statistics.median(one.cpu_s for one in runs[name]) for name in ("installed", "blocked"))
    heavy = (folder / "output.txt").read_text().splitlines()[-1].split()
    print(
        f"start-up {statistics.median(imports):.2f} ms in imports of pytest_mle (at most 5); whole process "
        f"{1e3 * installed:.0f} ms CPU installed, {1e3 * blocked:.0f} ms blocked; imported of {', '.join(BANNED)}: "
        f"{', '.join(set(heavy) & set(BANNED)) or 'none'}"
    )


def _own_imports(log: Path) -> float:
    # A line of -X importtime: "import time:", microseconds of the module itself, with what it imports, name.
    found = re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(pytest_mle\S*)", log.read_text())
    if not any(name == "pytest_mle.plugin.hooks" for _, name in found):
        sys.exit("no import of the plugin: is it installed here?")
    return sum(int(microseconds) for microseconds, _ in found) / 1e3


def compare_empty(folder: Path, repeats: int) -> None:
    """Time a project that only names the bundled checklist: it prints what is owed."""
    (folder / "spec.yaml").write_text("mle_spec: 1\nextends: [aspice-mle]\n")
    arguments = ("-m", "pytest", "-q", "-p", "mle", "--mle-spec=spec.yaml")
    runs = [usage(folder, *arguments, expected=1) for _ in range(repeats)]
    summary = (folder / "output.txt").read_text().splitlines()
    wall, cpu = (statistics.median(getattr(one, field) for one in runs) for field in ("wall_s", "cpu_s"))
    print(f"empty    project: {wall:.2f} s wall, {cpu:.2f} s CPU (at most 2 s), {summary[-1].strip('= ')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    kinds = ("items", "memory", "startup", "empty")
    parser.add_argument("--only", nargs="+", choices=kinds, default=kinds)
    options = parser.parse_args()
    for kind in options.only:
        with tempfile.TemporaryDirectory() as folder:
            if kind == "items":
                compare_items(Path(folder), options.items, options.repeats)
            elif kind == "memory":
                compare_memory(Path(folder), options.items, 1)
            elif kind == "startup":
                compare_startup(Path(folder), max(options.repeats, 5))
            else:
                compare_empty(Path(folder), options.repeats)


if __name__ == "__main__":
    main()

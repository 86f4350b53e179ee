"""Real data that libraries ship, laid out as a user's: scikit-learn's scanned digits and photographs."""

from __future__ import annotations

import json
import os

import pytest


class RealProject:
    """A folder with a spec beside real data, run in a process of its own as a user does."""

    def __init__(self, pytester):
        self._pytester = pytester
        self.root = pytester.path

    def run(self, spec, *arguments):
        """Run a spec; return the results of its items by name."""
        (self.root / "spec.yaml").write_text(spec, encoding="utf-8")
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self.outcome = self._pytester.runpytest_subprocess("--mle-spec=spec.yaml", "-p", "no:cacheprovider", *arguments)
        results = json.loads((self.root / "mle-reports/results.json").read_text(encoding="utf-8"))
        self.items = {item["name"]: item for item in results["specs"][0]["items"]}
        return self.items

    def verdicts(self):
        """Return the verdict of each item."""
        return {name: item["verdict"] for name, item in self.items.items()}

    def quantity(self, item, name):
        """Return the value that an item measured."""
        return next(one["value"] for one in self.items[item]["quantities"] if one["name"] == name)

    def findings(self, item, kind):
        """Return path and message of the findings of one kind."""
        found = [one for one in self.items[item].get("findings", ()) if one["kind"] == kind]
        return [(shown["path"], shown["message"]) for one in found for shown in one["shown"]]


@pytest.fixture
def real_project(pytester):
    """An empty project."""
    return RealProject(pytester)

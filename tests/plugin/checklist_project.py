"""A tiny project whose checks need no data, for tests of the plugin itself."""

from __future__ import annotations

import json
import textwrap

CONFTEST = """
import time
import pytest
import pytest_mle as mle


@pytest.fixture
def constant():
    @mle.check(quantities={"rate": mle.estimate("1"), "errors": mle.exact("{finding}")})
    def measure(*, successes: int = 95, trials: int = 100, errors: int = 0):
        return {"rate": mle.Proportion(successes, trials), "errors": errors}
    return measure


@pytest.fixture
def random_value(mle_rng):
    @mle.check(quantities={"value": mle.exact("1")})
    def measure():
        return {"value": float(mle_rng.random())}
    return measure


@pytest.fixture
def raises():
    def measure():
        raise RuntimeError("sensor <not> found")
    return measure


@pytest.fixture
def hangs():
    def measure():
        time.sleep(60)
    return measure


@pytest.fixture
def returns():
    def measure(*, what: str = "nothing"):
        return {"nothing": None, "nan": {"rate": float("nan")}, "empty": {}, "text": "fine", "true": True}[what]
    return measure


@pytest.fixture
def undeclared():
    @mle.check(quantities={"rate": mle.exact("1")})
    def measure():
        return {"rate": 1, "raet": 2}
    return measure


@pytest.fixture
def forgets():
    @mle.check(quantities={"rate": mle.exact("1"), "other": mle.exact("1")})
    def measure():
        return {"rate": 1}
    return measure


@pytest.fixture
def returns_no_callable():
    def measure():
        return {"rate": 1}


@pytest.fixture
def breaks_in_setup():
    raise ValueError("setup is broken")


@pytest.fixture
def breaks_in_teardown():
    yield lambda: {"rate": 1}
    raise ValueError("teardown is broken")


@pytest.fixture
def skips():
    pytest.skip("no GPU here")
"""

HEADER = """
mle_spec: 1
project: {name: Plugin test, version: "1"}
processes: []
policy: {seed: 7}
items:
"""


def item(identifier, check="constant", accept="errors == 0", **keys):
    """Return an item as one line of YAML."""
    pairs = {"title": f"Item {identifier}", "base_practice": "MLE.4.BP3", "check": check, **keys}
    listed = f"[{', '.join(json.dumps(one) for one in ([accept] if isinstance(accept, str) else accept))}]"
    body = ", ".join(
        f"{key}: {value if isinstance(value, (int, str)) else json.dumps(value)}" for key, value in pairs.items()
    )
    return f"  - {{id: {identifier}, {body}, accept: {listed}}}"


class Project:
    """A folder with a conftest.py and a spec, and how to run it."""

    def __init__(self, pytester):
        self.pytester = pytester
        pytester.makeconftest(CONFTEST)

    def conftest(self, text):
        """Write a conftest.py."""
        (self.pytester.path / "conftest.py").write_text(text, encoding="utf-8")

    def spec(self, *items, name="spec.yaml", header=HEADER):
        """Write a spec of items (lines from :func:`item`) or of free text."""
        path = self.pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(header) + "\n".join(items) + "\n", encoding="utf-8")
        return path

    def run(self, *arguments, spec="spec.yaml", process=False):
        """Run pytest on the spec."""
        run = self.pytester.runpytest_subprocess if process else self.pytester.runpytest_inprocess
        options = [] if spec is None else [f"--mle-spec={spec}"]
        return run(*options, *arguments)

    def report(self, folder="mle-reports"):
        """Return the report of the last run."""
        return json.loads((self.pytester.path / folder / "results.json").read_text(encoding="utf-8"))

    def results(self, folder="mle-reports"):
        """Return the results of the last run by item name."""
        return {one["name"]: one for spec in self.report(folder)["specs"] for one in spec["items"]}

    def verdicts(self, folder="mle-reports"):
        """Return the verdicts of the last run by item name."""
        return {name: one["verdict"] for name, one in self.results(folder).items()}

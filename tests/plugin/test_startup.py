"""What the plugin costs those who do not use it: nothing heavy is imported without a spec."""

from __future__ import annotations

HEAVY = ("numpy", "scipy", "yaml", "pydantic", "junit_xml")
OURS = {"pytest_mle", "pytest_mle.plugin", "pytest_mle.plugin.hooks", "pytest_mle.plugin.hookspecs"}
LISTING = """
import sys, pytest
exit_code = pytest.main(["-q", "-p", "mle", *{arguments!r}])
print("EXIT", int(exit_code))
print("LOADED", *sorted(name for name in sys.modules if name in {heavy!r} or name.startswith("pytest_mle")))
"""


def loaded(pytester, monkeypatch, *arguments):
    """Run pytest in a process of its own and return what it has imported of ours and of the heavy libraries."""
    # Plugins of other packages import what they like.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    script = pytester.makepyfile(listing=LISTING.format(arguments=list(arguments), heavy=HEAVY))
    result = pytester.runpython(script)
    result.stdout.fnmatch_lines(["EXIT 0"])
    return set(next(line for line in result.outlines if line.startswith("LOADED")).split()[1:])


def test_without_a_spec_the_entry_point_is_all_that_loads(pytester, monkeypatch):
    """A repository without checklists starts as fast as before: no numpy, no YAML, no pydantic, none of our layers."""
    pytester.makepyfile(test_ordinary="def test_ordinary():\n    pass\n")
    assert loaded(pytester, monkeypatch) == OURS


def test_help_and_a_conftest_that_imports_the_package_load_nothing_heavy(pytester, monkeypatch):
    """The public names are looked up when they are used, so importing the package costs nothing."""
    pytester.makeconftest("import pytest_mle as mle\n")
    pytester.makepyfile(test_ordinary="def test_ordinary():\n    pass\n")
    assert loaded(pytester, monkeypatch, "--fixtures") == OURS


def test_a_spec_loads_what_it_needs(project, monkeypatch):
    """The two tests above can fail: with a spec the same listing names the libraries."""
    project.spec("  - {id: A, title: A, base_practice: MLE.4.BP3, not_applicable: no reason}")
    assert {"yaml", "pytest_mle.plugin.checklist"} <= loaded(
        project.pytester, monkeypatch, "--mle-spec=spec.yaml", "--collect-only"
    )

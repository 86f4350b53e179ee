"""Tests of models that project code builds."""

from __future__ import annotations

import sys

import pytest

from pytest_mle.errors import InputError
from pytest_mle.inputs.models.factory import call_factory


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Make a project whose factory takes its parts from a package of its own."""
    (tmp_path / "facparts").mkdir()
    (tmp_path / "facparts" / "__init__.py").write_text("from .size import SIZE\n")
    (tmp_path / "facparts" / "size.py").write_text("SIZE = 3\n")
    (tmp_path / "facnet.py").write_text(
        "import json\nfrom facparts import size\n\ndef build(width=1):\n    return [width, size.SIZE]\n"
    )
    (tmp_path / "unrelated.py").write_text("X = 1\n")
    yield tmp_path
    for name in ("facnet", "facparts", "facparts.size"):
        sys.modules.pop(name, None)


def test_a_factory_of_the_project_is_called_with_its_arguments(project):
    """The function gets the arguments; its own sources are listed, the standard library is not."""
    made, sources = call_factory("facnet:build", {"width": 7}, project)
    assert made == [7, 3]
    assert [path.relative_to(project).as_posix() for path in sources] == [
        "facnet.py",
        "facparts/__init__.py",
        "facparts/size.py",
    ]


def test_the_path_is_as_before(project):
    """The project's folder is on sys.path for the import only."""
    before = list(sys.path)
    call_factory("facnet:build", {}, project)
    with pytest.raises(InputError):
        call_factory("facnet:nothing", {}, project)
    assert sys.path == before


def test_unknown_module_and_function(project):
    """The error names the closest function."""
    with pytest.raises(InputError, match="factory 'facnett:build' cannot be imported"):
        call_factory("facnett:build", {}, project)
    with pytest.raises(InputError, match=r"has no function 'bild'\. Did you mean 'build'"):
        call_factory("facnet:bild", {}, project)

"""Tests of where inputs may lie."""

from __future__ import annotations

import pytest

from pytest_mle.errors import Location, TrustError
from pytest_mle.inputs.trusted_path import resolve_trusted, shown_path


def test_path_below_the_root_is_resolved(tmp_path):
    """A relative path starts at the root, and need not exist."""
    assert resolve_trusted("data/../x.csv", tmp_path, allowed_roots=[], location=None) == tmp_path / "x.csv"


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "data/../../outside"])
def test_path_that_leaves_is_refused(tmp_path, path):
    """The error says where it leads, who declared it and which option grants it."""
    root = tmp_path / "project"
    root.mkdir()

    with pytest.raises(TrustError, match=r"^spec\.yaml:7: .*outside the spec's folder.*--mle-data-root="):
        resolve_trusted(path, root, allowed_roots=[], location=Location("spec.yaml", 7))


def test_sibling_with_the_same_beginning_is_outside(tmp_path):
    """`project-2` is not below `project`."""
    with pytest.raises(TrustError):
        resolve_trusted(tmp_path / "project-2", tmp_path / "project", allowed_roots=[], location=None)


def test_granted_root_is_allowed(tmp_path):
    """What the invoker granted is read."""
    granted = tmp_path / "granted"

    assert resolve_trusted(granted / "x", tmp_path / "project", allowed_roots=[granted], location=None) == granted / "x"


def test_symbolic_link_is_followed_before_judging(tmp_path):
    """A link inside the root to a file outside is refused."""
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    (root / "link").symlink_to(tmp_path / "secret")

    with pytest.raises(TrustError, match="secret"):
        resolve_trusted("link", root, allowed_roots=[], location=None)


def test_shown_path_is_short_below_the_root(tmp_path):
    """Users see paths relative to their spec, and absolute ones elsewhere."""
    assert shown_path(tmp_path / "a" / "b.png", tmp_path) == "a/b.png"
    assert shown_path(tmp_path / "b.png", tmp_path / "a") == str(tmp_path / "b.png")

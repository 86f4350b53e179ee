"""Tests of listing files."""

from __future__ import annotations

import pytest

from pytest_mle.errors import TrustError
from pytest_mle.inputs.datasets.listing import list_files


def test_recursive_sorted_and_without_case(tmp_path):
    """All depths and all spellings of an extension are found, in one order on every machine."""
    for name in ["b.JPG", "a/z.jpg", "a/b/c.Png", "notes.txt", ".DS_Store.jpg", ".cache/x.jpg", "jpg"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    assert list_files(tmp_path, {".jpg", ".png"}, (tmp_path,)) == ["a/b/c.Png", "a/z.jpg", "b.JPG"]


def test_links_inside_are_followed(tmp_path):
    """A linked file and a linked folder inside the root are data."""
    data = tmp_path / "data"
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "1.png").touch()
    data.mkdir()
    (data / "file.png").symlink_to(tmp_path / "store" / "1.png")
    (data / "folder").symlink_to(tmp_path / "store")

    assert list_files(data, {".png"}, (tmp_path,)) == ["file.png", "folder/1.png"]


@pytest.mark.parametrize("target", ["outside", "outside/1.png"])
def test_links_that_leave_are_refused(tmp_path, target):
    """Neither a linked file nor a linked folder outside is read."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "1.png").touch()
    root = tmp_path / "project"
    root.mkdir()
    (root / "x.png").symlink_to(tmp_path / target)

    with pytest.raises(TrustError, match="--mle-data-root"):
        list_files(root, {".png"}, (root,))


def test_circular_links_end(tmp_path):
    """A folder that links to one above it is walked once."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").touch()
    (tmp_path / "a" / "up").symlink_to(tmp_path)

    assert list_files(tmp_path, {".png"}, (tmp_path,)) == ["a/1.png"]

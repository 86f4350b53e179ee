"""SHA-256 of files and lists of them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess

import pytest

from pytest_mle.checks.experiments.sha256 import file_sha256, files_sha256, is_sha256, read_sha256_list
from pytest_mle.errors import InputError

A, B = "a" * 64, "b" * 64


def test_files(tmp_path):
    """As hashlib computes it; a file that is not there has none."""
    (tmp_path / "a").write_bytes(b"a" * 100_000)
    expected = hashlib.sha256(b"a" * 100_000).hexdigest()
    assert file_sha256(tmp_path / "a") == expected
    assert files_sha256([tmp_path / "a", tmp_path / "b"]) == [expected, None]
    assert is_sha256(expected)
    assert not any(map(is_sha256, [None, "", "abc", expected[:-1], expected + "0", 3]))


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
@pytest.mark.parametrize("options", [(), ("--binary",), ("--tag",)])
def test_lists_that_sha256sum_writes(tmp_path, options):
    """Each of its formats, names with blanks and with a line feed."""
    names = ["one.bin", "two words.bin", "line\nfeed.bin"] if not options else ["one.bin", "two words.bin"]
    for name in names:
        (tmp_path / name).write_text(name)
    done = subprocess.run(["sha256sum", *options, *names], cwd=tmp_path, capture_output=True, text=True, check=True)
    (tmp_path / "SHA256SUMS").write_text("# files\n\n" + done.stdout)
    found = read_sha256_list(tmp_path / "SHA256SUMS", "SHA256SUMS")
    assert {name: digest for name, (digest, _) in found.items()} == {
        name: hashlib.sha256(name.encode()).hexdigest() for name in names
    }
    assert found["one.bin"][1] == 3


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("abc  file\n", "sums:1"),
        (f"{A}\n", "sums:1"),
        (f"{A}  x\n{B}  ./x\n", "sums:2"),
        (f"{A}  x\nnonsense\n", "sums:2"),
    ],
)
def test_what_is_no_list(tmp_path, text, place):
    """Other lines and two values for one file are errors with their line."""
    (tmp_path / "sums").write_text(text)
    with pytest.raises(InputError, match=place):
        read_sha256_list(tmp_path / "sums", "sums")


def test_list_that_cannot_be_read(tmp_path):
    """An absent list and one that is no text."""
    (tmp_path / "sums").write_bytes(b"\xff\xfe\x00")
    for name in ("sums", "absent"):
        with pytest.raises(InputError, match="cannot read"):
            read_sha256_list(tmp_path / name, name)

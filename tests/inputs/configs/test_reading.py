"""Configuration files: each format, names with dots, places, and what cannot be read."""

from __future__ import annotations

import pytest

from pytest_mle.errors import InputError, Location, TrustError
from pytest_mle.inputs.configs import read_config

YAML = """\
epochs: 36
learning_rate:
  initial: 1e-3
  schedule: no
ranges:
  learning_rate.initial: [0.0001, 0.01]
dropout: {}
"""


def read(folder, text, file="train.yaml"):
    """Write a file and read it as the config `training`."""
    path = folder / file
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_config("training", {"path": file}, folder)


def test_yaml_has_names_values_and_lines(tmp_path):
    """A dotted name is a path or a name of its own; numbers and words have their YAML 1.2 types."""
    config = read(tmp_path, YAML)
    assert config.get("learning_rate.initial") == 0.001
    assert config.get("learning_rate.schedule") == "no"
    assert config.get("ranges.learning_rate.initial") == [0.0001, 0.01]
    assert config.get("learning_rate.final", "absent") == "absent"
    assert "epochs" in config
    assert "epochs.more" not in config
    assert list(config.keys()) == [
        *("epochs", "learning_rate.initial", "learning_rate.schedule", "ranges.learning_rate.initial", "dropout")
    ]
    assert config.location("learning_rate.initial") == Location("train.yaml", 3)
    assert config.location("learning_rate.final") == Location("train.yaml", 2)
    assert config.location("nothing.here") == Location("train.yaml")
    with pytest.raises(InputError, match=r"train.yaml: config training has no 'epoch'. Did you mean 'epochs'"):
        config.require("epoch")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("c.json", '{"epochs": 36, "learning_rate": {"initial": 0.001}}'),
        ("c.toml", "epochs = 36\n[learning_rate]\ninitial = 0.001\n"),
        ("c.YML", "epochs: 36\nlearning_rate: {initial: 0.001}\n"),
        ("bom.json", b'\xef\xbb\xbf{"epochs": 36, "learning_rate": {"initial": 0.001}}'),
    ],
)
def test_formats_agree(tmp_path, file, text):
    """JSON, TOML and YAML of the same content give the same values."""
    assert read(tmp_path, text, file).values == {"epochs": 36, "learning_rate": {"initial": 0.001}}


def test_a_document_is_read_by_its_headings(tmp_path):
    """A section is everything below its heading; headings inside code are text."""
    text = "# Approach\nintro\n## 1.2 Exit criteria ##\nloss flat\n```sh\n# comment\n```\n## Training_Environment\n\n"
    config = read(tmp_path, text, "approach.md")
    assert config.get("exit_criteria") == "loss flat\n```sh\n# comment\n```"
    assert config.get("training_environment") == ""
    assert config.location("training_environment") == Location("approach.md", 8)
    assert "comment" not in config


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("c.yaml", "", "c.yaml: config training must hold names and values, got nothing"),
        ("c.yaml", "- 1\n", "must hold names and values, got a list"),
        ("c.yaml", "a: 1\na: 2\n", "c.yaml:2: duplicate key 'a'"),
        ("c.yaml", "a: [1\n", r"c.yaml:2: not valid YAML"),
        ("c.yaml", b"\xff\xfe", "is not UTF-8 text: byte 0"),
        ("c.json", '{"a": 1,\n"b": ]}', "c.json:2: not valid JSON"),
        ("c.json", '{"a": 1, "a": 2}', "c.json: duplicate key 'a'"),
        ("c.json", "[" * 200_000, "nests too deeply"),
        ("c.toml", "a = \n", "c.toml:1: not valid TOML"),
        ("c.md", "text only", "must hold names and values, got nothing"),
        ("c.md", "# A\n# a\n", "c.md:2: two sections are called 'a'; the first is in line 1"),
        ("c.ini", "[a]", r"cannot read .ini. Allowed: .yaml"),
    ],
)
def test_what_cannot_be_read_says_where(tmp_path, file, text, message):
    """Each bad file gives one error with its name, and the line where there is one."""
    with pytest.raises(InputError, match=message):
        read(tmp_path, text, file)


def test_a_file_that_is_absent_or_outside_is_refused(tmp_path):
    """An absent file says so; one outside the spec's folder needs to be granted."""
    with pytest.raises(InputError, match=r"cannot read none.yaml: No such file"):
        read_config("training", {"path": "none.yaml"}, tmp_path)
    (tmp_path / "spec").mkdir()
    (tmp_path / "c.yaml").write_text("a: 1")
    with pytest.raises(TrustError, match="--mle-data-root="):
        read_config("training", {"path": "../c.yaml"}, tmp_path / "spec")
    with pytest.raises(InputError, match="Did you mean 'path'"):
        read_config("training", {"path": "c.yaml", "pth": 1}, tmp_path)

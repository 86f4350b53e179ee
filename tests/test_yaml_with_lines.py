"""YAML 1.2 with lines: types, places, limits, the same with and without libyaml."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_mle import yaml_with_lines
from pytest_mle.errors import CollectedSpecError
from pytest_mle.yaml_with_lines import kind_of, plain, read_yaml


@pytest.fixture(params=["libyaml", "pure Python"])
def loader(request, monkeypatch):
    """Read with and without the C library."""
    if request.param == "pure Python":
        monkeypatch.setattr(yaml_with_lines, "_LOADER", yaml.SafeLoader)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML was built without libyaml")


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("null", None),
        ("~", None),
        ("", None),
        ("12:30", "12:30"),
        ("1e-7", 1e-7),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-3", -3),
        ("+3", 3),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("250,000", "250,000"),
        ("1.2.3", "1.2.3"),
        ("2026-01-04", "2026-01-04"),
        ("=", "="),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("'7'", "7"),
        ('"true"', "true"),
        ("95 %", "95 %"),
        ("9" * 400, "9" * 400),
        ("1e999", "1e999"),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    """Only true and false are booleans, 1e-7 is a number, and what merely looks odd stays text."""
    found = read_yaml(f"key: {text}\n", "f.yaml")["key"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_read():
    """`.nan` is a float, for others to refuse."""
    assert math.isnan(read_yaml(".nan", "f.yaml"))


@pytest.mark.usefixtures("loader")
def test_every_key_and_entry_knows_its_line():
    """Block and flow style, nested and aliased."""
    tree = read_yaml("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\ne: &e\n  f: 4\ng: *e\n", "f.yaml")
    assert [str(tree.place(key)) for key in "abeg"] == ["f.yaml:1", "f.yaml:2", "f.yaml:6", "f.yaml:8"]
    assert [str(tree["b"].place(i)) for i in (0, 1)] == ["f.yaml:3", "f.yaml:4"]
    assert str(tree["b"][1].place("d")) == "f.yaml:5"
    assert str(tree["g"].place("f")) == "f.yaml:7"
    assert str(tree.place("missing")) == "f.yaml:1"


def test_numbers_keep_their_spelling():
    """An error about 1.10 says 1.10."""
    tree = read_yaml("version: 1.10\nname: x\nflag: true\nquoted: '1.10'\n", "f.yaml")
    assert tree.spelled == {"version": "1.10"}


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "f.yaml:2: duplicate key 'a'; it stands at f.yaml:1 already"),
        ("1: a\n1: b", "f.yaml:2: duplicate key 1"),
        ("a: !!int '3'", "f.yaml:1: the tag !!int is not allowed"),
        ("a: !mine {b: 1}", "f.yaml:1: the tag !mine is not allowed"),
        ("? [a]\n: 1", "f.yaml:1: a key must be text or a whole number"),
        ("~: 1", "f.yaml:1: a key must be text or a whole number, got nothing"),
        ("true: 1", "f.yaml:1: a key must be text or a whole number, got true"),
        ("1.5: 1", "f.yaml:1: a key must be text or a whole number, got 1.5"),
        ("a: *b", "f.yaml:1: the alias *b has no anchor &b before it"),
        ("a: &a [*a]", "f.yaml:1: the alias *a stands inside what it refers to"),
        ("a: 1\n---\nb: 2", "f.yaml:2: a second document begins here"),
        ("a: [1\nb: 2\n", "f.yaml:2: not valid YAML"),
        ("\ta: 1", "f.yaml:1: not valid YAML: a tab indents this line. Use spaces"),
        ("a: 'x", "f.yaml:"),
    ],
)
def test_what_a_spec_must_not_hold_is_refused(text, message):
    """Duplicates, tags, odd keys, broken aliases and syntax errors name their line."""
    with pytest.raises(CollectedSpecError) as caught:
        read_yaml(text, "f.yaml")
    assert str(caught.value).startswith(message)


def test_all_duplicates_are_found_at_once():
    """One pass is enough to mend a file."""
    with pytest.raises(CollectedSpecError) as caught:
        read_yaml("a: 1\na: 2\nb: 1\nb: 2\n", "f.yaml")
    assert len(caught.value.errors) == 2


def test_tags_run_nothing(tmp_path):
    """A Python object in YAML is an error and is never made."""
    witness = tmp_path / "witness"
    with pytest.raises(CollectedSpecError, match="is not allowed"):
        read_yaml(f"a: !!python/object/apply:os.mkdir ['{witness}']", "f.yaml")
    assert not witness.exists()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\u2028\u2029\x85"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc<", min_size=1, max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
def test_what_pyyaml_writes_is_read_back(value):
    """Any JSON-like value survives; texts that YAML 1.1 would take for other types are quoted by its writer."""
    text = yaml.safe_dump(value, allow_unicode=True)
    if "<<" not in text:
        assert plain(read_yaml(text, "f.yaml")) == value


def test_values_are_named_in_sentences():
    """Errors say what stands there, in short."""
    values = [None, True, {}, [], 7, "x", "x" * 200]
    assert [kind_of(value) for value in values[:-1]] == ["nothing", "true", "a mapping", "a list", "7", "'x'"]
    assert len(kind_of(values[-1])) == 80

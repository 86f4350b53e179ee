"""Whole specs: what is right becomes a plan, what is wrong becomes sentences with lines, nothing becomes a traceback."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_mle.errors import CollectedSpecError
from pytest_mle.spec.load import load_spec

CORPUS = Path(__file__).parents[1] / "corpus" / "spec"

MINIMAL = """\
mle_spec: 1
items:
  - {id: X-1, base_practice: MLE.4.BP3, evidence: [{file: a.md}]}
"""

EXAMPLE = """\
mle_spec: 1
project: {name: Pedestrian detection for AEB, version: "2.1.0", asil: C}
processes: [MLE.3, MLE.4, SUP.11]
inputs:
  datasets:
    train: {path: data/train, format: yolo}
    test: {path: data/test, format: yolo}
  models:
    candidate:
      path: ${MODEL_PATH:-models/detector.onnx}
      preprocess: {size: [192, 144], color: rgb}
    deployed: {like: candidate, path: models/detector.int8.onnx, preprocess: {color: bgr}}
defaults: {dataset: test, model: candidate}
requirements:
  - id: MLE-REQ-008
    text: The detector keeps its accuracy.
    parent: SYS-REQ-123
    asil: B(D)
    criteria: [map_50 >= 80 % at 99 % confidence]
    under: {check: detector, with: {runs: 3}}
policy: {seed: 20260104, confidence: 95 %, images: "off"}
items:
  - id: MLE4-2.2-01
    title: FGSM robustness
    base_practice: MLE.4-BP3
    verifies: [MLE-REQ-008]
    advise: [absolute_accuracy_drop <= 10 pp]
  - id: MLE4-1.1-04
    base_practice: MLE.4.BP3
    check: fixture_of_the_project
    where: {distance_m: {lt: 50}}
    for_each:
      - {where: {weather: clear}, accept: [map_50 >= 90 %]}
      - {where: {weather: rain}, accept: [map_50 >= 85 % by point value]}
  - id: MLE4-2.1-01
    base_practice: MLE.4.BP3
    check: fixture_of_the_project
    parametrize: {sigma: [0.02, 0.05]}
    timeout: 10 min
    marks: [slow]
    accept: [relative_drop < 10 %]
  - id: MLE1-1.2-02
    base_practice: SUP.11.BP2
    evidence: [{file: docs/guidelines.md, role: safety engineer, valid_for: 365 d}]
"""


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_broken_spec_is_explained(path, load, monkeypatch):
    """Every error of a broken spec is found in one pass, worded exactly as the file beside it says."""
    monkeypatch.chdir(CORPUS)
    with pytest.raises(CollectedSpecError) as caught:
        load(path.name, EMPTY_VARIABLE="")
    assert str(caught.value).splitlines() == path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()


def test_every_error_names_file_and_line():
    """In the whole corpus an error stands at a line, unless the file has none to stand at."""
    without_line = {"empty", "only_a_comment", "no_items", "empty_items", "unclaimed"}
    for path in CORPUS.glob("*.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert path.stem in without_line or re.match(r"[\w/.]+:\d+: ", line), line


def test_the_example_becomes_a_plan(write, load):
    """Ids, slices, parameters, processes and policy come out as the spec says."""
    spec = load(write(EXAMPLE))
    assert [item.name for item in spec.items] == [
        "MLE4-2.2-01",
        "MLE4-1.1-04[clear]",
        "MLE4-1.1-04[rain]",
        "MLE4-2.1-01[0.02]",
        "MLE4-2.1-01[0.05]",
        "MLE1-1.2-02",
    ]
    assert spec.project.asil == "C"
    assert (spec.policy.seed, spec.policy.confidence, spec.policy.images) == (20260104, 0.95, "off")
    assert spec.processes == ("MLE.3", "MLE.4", "SUP.11")
    assert spec.process_titles["MLE.4"] == "Machine Learning Model Testing"
    assert spec.root == Path.cwd()
    assert list(spec.files) == ["spec.yaml"]
    noise = spec.items[3]
    assert (noise.parameters, noise.timeout_s, noise.marks) == ({"sigma": 0.02}, 600.0, ("slow",))


def test_processes_default_to_those_with_items(write, load):
    """A spec that claims nothing claims what it has items for, in the order of Automotive SPICE."""
    spec = load(write(EXAMPLE.replace("processes: [MLE.3, MLE.4, SUP.11]\n", "")))
    assert spec.processes == ("MLE.4", "SUP.11")


def test_a_project_without_name_is_called_after_its_folder(write, load, tmp_path):
    """`project` can be left out."""
    assert load(write(MINIMAL)).project.name == tmp_path.name


def test_an_unknown_check_is_left_to_the_run(write, load):
    """A name that no one knows may be a fixture of the project; where it stands is kept for the message."""
    item = load(write(EXAMPLE)).items[1]
    assert item.pending_reasons == ()
    assert str(item.key_origins["check"]) == "spec.yaml:30"


def test_paths_are_relative_to_the_current_folder_only_below_it(write, load, tmp_path, monkeypatch):
    """An error in a spec elsewhere names the absolute path."""
    write("mle_spec: 3\n", "here/spec.yaml")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(CollectedSpecError, match=r"^spec\.yaml:1: "):
        load("spec.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(CollectedSpecError, match=f"^{re.escape(str(tmp_path))}/here/spec.yaml:1: "):
        load("../here/spec.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"mle_spec: 1\nproject: {name: caf\xe9}\n", "spec.yaml:2: not UTF-8: the byte 0xe9 cannot be decoded"),
        (b"\xff\xfem\x00l\x00e\x00", "spec.yaml:1: not UTF-8: the byte 0xff"),
        (b'mle_spec: 1\nproject: {name: "a\x00b"}\n', "spec.yaml:2: the character U+0000 is not allowed in YAML"),
        (b"\x89PNG\r\n\x1a\n", "spec.yaml:1: not UTF-8"),
        (b"a: " + b"[" * 5000, "spec.yaml:1: nested deeper than 40 levels"),
        (b"- " * 5000 + b"x", "spec.yaml:1: nested deeper than 40 levels"),
        (b"{a: " * 5000, "spec.yaml:1: nested deeper than 40 levels"),
    ],
    ids=["latin-1", "utf-16", "control character", "image", "brackets", "dashes", "braces"],
)
def test_hostile_bytes_are_one_sentence(tmp_path, monkeypatch, load, content, message):
    """Wrong encodings, pictures and endless nesting are explained, not crashed on."""
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_bytes(content)
    with pytest.raises(CollectedSpecError) as caught:
        load("spec.yaml")
    assert str(caught.value).startswith(message)


def test_a_byte_order_mark_is_no_error(tmp_path, monkeypatch, load):
    """Editors on Windows put one in front."""
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load("spec.yaml").items[0].name == "X-1"


def test_aliases_cannot_exhaust_memory(write, load):
    """The billion laughs end before they are laughed."""
    lines = ["mle_spec: 1", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(
        CollectedSpecError, match=r"spec\.yaml:\d+: more than 2,000,000 values once aliases are expanded"
    ):
        load(write("\n".join(lines)))


def test_too_many_aliases_are_refused(write, load):
    """Aliases are bounded in number, too."""
    with pytest.raises(CollectedSpecError, match="more than 10000 aliases"):
        load(write("mle_spec: &x 1\nitems: [" + "*x, " * 10_001 + "]"))


def test_a_folder_is_no_spec(tmp_path, monkeypatch, load):
    """Naming a folder is explained."""
    monkeypatch.chdir(tmp_path)
    Path("specs").mkdir()
    with pytest.raises(CollectedSpecError, match="specs: this is a folder, not a file"):
        load("specs")


def test_a_missing_spec_is_explained(tmp_path, monkeypatch, load):
    """A path that does not exist is one sentence."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CollectedSpecError, match=r"spec\.yaml: the file does not exist"):
        load("spec.yaml")


def test_a_pipe_is_not_read_for_ever(tmp_path, monkeypatch, load):
    """Only regular files are opened."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("spec.yaml")
    with pytest.raises(CollectedSpecError, match="is a device or pipe, not a file"):
        load("spec.yaml")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path, monkeypatch, load):
    """50 MB of YAML are data, not a spec."""
    monkeypatch.chdir(tmp_path)
    with Path("spec.yaml").open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(CollectedSpecError, match="is 50 MB; a spec file may have 16 MiB"):
        load("spec.yaml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_explained(write, load):
    """Missing permissions are one sentence."""
    path = write(MINIMAL)
    path.chmod(0)
    with pytest.raises(CollectedSpecError, match="cannot be read: Permission denied"):
        load(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, len(EXAMPLE) - 1), length=st.integers(0, 30), text=st.text(max_size=12))
def test_no_slip_of_the_hand_is_a_traceback(tmp_path, load, position, length, text):
    """Whatever replaces a piece of the example, it loads or is explained."""
    path = tmp_path / "spec.yaml"
    path.write_text(EXAMPLE[:position] + text + EXAMPLE[position + length :], encoding="utf-8", errors="replace")
    with contextlib.suppress(CollectedSpecError):
        assert load(path).items


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_bytes_are_a_traceback(tmp_path, load, content):
    """Random bytes are never a spec and never a crash."""
    path = tmp_path / "spec.yaml"
    path.write_bytes(content)
    with pytest.raises(CollectedSpecError):
        load(path)


def test_a_check_that_cannot_be_imported_is_explained(write):
    """A broken built-in or third-party check is named with its cause, at the item that uses it."""

    def find(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    with pytest.raises(CollectedSpecError, match=r"spec\.yaml:30: the check fixture_of_the_project cannot be loaded"):
        load_spec(write(EXAMPLE), environment={}, find_check=find, known_checks=[])


def test_importing_the_loader_stays_light():
    """Reading a spec imports neither numpy nor pydantic."""
    code = (
        "import sys, pytest_mle.spec.load; print(sorted({'numpy', 'pydantic', 'pytest', 'scipy'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"

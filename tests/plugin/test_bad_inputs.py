"""Bad specs, data, models, logs and environments: one clear sentence with its place, and nothing green."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from checklist_project import HEADER, item
from perception_project import HEADER as PERCEPTION
from perception_project import ITEMS, header, outputs, write_perception

CORPUS = Path(__file__).parents[1] / "corpus" / "spec"

LAYERS = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12))
EVIDENCE = "items:\n  - {id: X, base_practice: MLE.4.BP3, evidence: [{file: a.md}]}\n"
DATA = """\
mle_spec: 1
inputs: {{datasets: {{d: {{path: data, format: yolo}}}}}}
requirements:
  - id: REQ-1
    text: Nothing is broken.
    criteria: [corrupt_images == 0]
    under: {{check: dataset_integrity, with: {{expected_images: 10}}}}
items:
  - {{id: X, base_practice: SUP.11.BP5, {}}}
"""
INTEGRITY = "check: dataset_integrity, "

# Spec text to what its message must say after the file's name.
SPECS = {
    "empty": ("", ": the spec is empty"),
    "syntax": ("mle_spec: 1\nitems: [\n", ":3: not valid YAML: "),
    "alias_bomb": (f"mle_spec: 1\nl0: &l0 [a, b, c]\n{LAYERS}\n{EVIDENCE}", ":[0-9]+: .*alias"),
    "unknown_key": ("mle_spec: 1\nitemz: []\n" + EVIDENCE, ":2: .*'itemz'.*Did you mean 'items'"),
    "unknown_quantity": (
        DATA.format(INTEGRITY + "accept: [corrupt_imagse == 0]"),
        ":9: .*corrupt_imagse.*Did you mean 'corrupt_images'",
    ),
    "unknown_unit": (DATA.format(INTEGRITY + "accept: [corrupt_images <= 3 furlongs]"), ":9: .*furlongs"),
    "wrong_dimension": (DATA.format(INTEGRITY + "accept: [corrupt_images <= 3 ms]"), ":9: .*ms"),
    "unknown_requirement": (DATA.format("verifies: [REQ-2]"), ":9: .*REQ-2.*REQ-1"),
    "duplicate_id": (
        DATA.format(INTEGRITY + "accept: [corrupt_images == 0]")
        + "  - {id: X, base_practice: SUP.11.BP5, check: model_size, accept: [file_size < 1 MB]}\n",
        ":10: .*'X'",
    ),
    "wrong_type": (
        DATA.format(INTEGRITY + 'with: {expected_images: "250,000 images"}, accept: [corrupt_images == 0]'),
        ":9: .*expected_images.*'250,000 images'",
    ),
    "contradiction": (
        DATA.format("with: {expected_images: 11}, verifies: [REQ-1]"),
        ":9: .*expected_images.*11.*10",
    ),
    "missing_extends": ("mle_spec: 1\nextends: [nowhere.yaml]\n" + EVIDENCE, ":2: .*nowhere.yaml.*"),
    "missing_requirements": (
        "mle_spec: 1\nrequirements: [{from: nowhere.yaml}]\n" + EVIDENCE,
        ":2: .*nowhere.yaml.*",
    ),
    "binary": ("mle_spec: 1\0", ":1: .*"),
    "missing_spec": (None, ": .*(does not exist|No such file)"),
}


def test_broken_specs_end_the_run_with_code_4_and_one_line_each(project):
    """Every wrong spec of a run is told with file and line, nothing runs, and no report of an earlier run stays."""
    project.spec(item("A-01"))
    assert project.run().ret == 0
    for name, (text, _) in SPECS.items():
        if text is not None:
            (project.pytester.path / f"{name}.yaml").write_text(text)
    outcome = project.run(*(f"--mle-spec={name}.yaml" for name in SPECS))
    assert outcome.ret == 4
    told = outcome.stderr.str() + outcome.stdout.str()
    assert "Traceback" not in told
    for name, (_, message) in SPECS.items():
        assert re.search(rf"^(ERROR: )?{name}\.yaml{message}", told, re.MULTILINE), (name, told)
    assert not [path for path in (project.pytester.path / "mle-reports").rglob("*.*") if path.suffix != ".jsonl"]


def test_whole_corpus_of_broken_specs_in_one_run(project, monkeypatch):
    """Every broken spec of the corpus is told at the start of a run, as the file beside it says."""
    shutil.copytree(CORPUS, project.pytester.path / "corpus")
    monkeypatch.chdir(project.pytester.path / "corpus")
    names = sorted(path.stem for path in CORPUS.glob("*.yaml"))
    assert len(names) > 30
    outcome = project.run(*(f"--mle-spec={name}.yaml" for name in names), spec=None)
    assert outcome.ret == 4
    told = (outcome.stderr.str() + outcome.stdout.str()).replace("ERROR: ", "")
    assert "Traceback" not in told
    for name in set(names) - {"parameters"}:  # which is about a check that exists in another test only
        lines = (CORPUS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        assert set(lines) & set(told.splitlines()), name


@pytest.mark.parametrize("what", [".", "/dev/null", "missing/spec.yaml", "spec.yaml/x"])
def test_a_spec_that_is_no_file_is_an_error(project, what):
    """A folder, a device or a missing file given as spec is told, not collected as something else."""
    project.spec(item("A-01"))
    outcome = project.run(f"--mle-spec={what}", spec=None)
    assert outcome.ret == 4
    assert "Traceback" not in outcome.stderr.str() + outcome.stdout.str()
    assert "ERROR: " in outcome.stderr.str()


@pytest.mark.parametrize("arguments", [(), ("-n", "2")])
def test_unknown_check_that_is_no_fixture_ends_the_run_with_code_4(project, arguments):
    """A check that neither the package nor the project knows is a wrong spec, with and without workers."""
    project.spec(item("A-01"), item("A-02", "detection_qualty", "map_50 >= 90 %"))
    outcome = project.run(*arguments, process=True)
    assert outcome.ret == 4
    outcome.stderr.fnmatch_lines(["ERROR: spec.yaml:8: check 'detection_qualty' is neither*mean 'detection_quality'?"])
    assert "Traceback" not in outcome.stderr.str() + outcome.stdout.str()
    assert set(project.verdicts().values()) == {"ERROR"}
    assert project.report()["problems"][0].startswith("spec.yaml:8: ")


def test_a_spec_that_pytest_ignores_is_an_error(project):
    """A spec that is named and not run would be a hole in the checklist."""
    project.spec(item("A-01"))
    project.spec(item("A-01"), name="build/spec.yaml")
    outcome = project.run("--mle-spec=build/spec.yaml", ".")
    assert outcome.ret == 4
    outcome.stderr.fnmatch_lines(["ERROR: *build/spec.yaml: named by --mle-spec, but pytest ignores it*"])


def test_a_spec_whose_name_pytest_cannot_read_is_an_error(project):
    """Brackets and double colons mean something else on pytest's command line; nothing is taken for deselected."""
    project.spec(item("A-01"), name="spec[1].yaml")
    outcome = project.run(spec="spec[1].yaml")
    assert outcome.ret == 4
    outcome.stderr.fnmatch_lines(["ERROR: *spec?1?.yaml*"])
    assert project.verdicts() == {"A-01": "ERROR"}
    assert not project.report()["gate"]["is_green"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("items.A-01.with.errors=1", 1),
        ("policy.seed=9", 0),
        ("policy.sead=9", 4),
        ("policy.seed", 4),
        ("policy.seed=many", 4),
        ("=1", 4),
        ("items.A-02.with.errors=1", 4),
    ],
)
def test_set_from_the_command_line_is_validated_like_the_spec(project, given, code):
    """A good override is used and recorded; a bad one is told and nothing runs."""
    project.spec(item("A-01"))
    outcome = project.run("--mle-set", given)
    assert outcome.ret == code
    assert "Traceback" not in outcome.stderr.str() + outcome.stdout.str()
    if code == 4:
        assert given.split("=")[0].split(".")[-1] in outcome.stderr.str()
    else:
        key, _, value = given.partition("=")
        assert str(project.report()["specs"][0]["overrides"][key]) == value


@pytest.mark.parametrize("problem", ["conftest", "option", "spec"])
def test_green_report_of_yesterday_does_not_outlive_a_failed_start(project, problem):
    """Whatever keeps a run from starting, the reports of the one before it are gone."""
    project.spec(item("A-01"))
    assert project.run().ret == 0
    folder = project.pytester.path / "mle-reports"
    assert (folder / "results.json").exists()
    if problem == "conftest":
        project.conftest("import no_such_module\n")
    if problem == "spec":
        project.spec(item("A-01", accept="errors = 0"))
    outcome = project.run(*(["--no-such-option"] if problem == "option" else []), process=True)
    assert outcome.ret == 4
    assert not (folder / "results.json").exists()
    assert not list(folder.rglob("*.xml"))


@pytest.mark.parametrize("option", ["--collect-only", "--fixtures", "--help", "--version", "--markers", "--setup-plan"])
def test_listing_leaves_the_reports_alone(project, option):
    """An option that runs nothing neither clears nor writes reports."""
    project.spec(item("A-01"))
    project.run()
    before = (project.pytester.path / "mle-reports/results.json").stat().st_mtime_ns
    assert project.run(option).ret == 0
    assert (project.pytester.path / "mle-reports/results.json").stat().st_mtime_ns == before


def _write(path, content):
    return lambda folder: (folder / path).write_bytes(content)


def _cut(path):
    return lambda folder: (folder / path).write_bytes(
        (folder / path).read_bytes()[: (folder / path).stat().st_size // 2]
    )


def _empty(path):
    def clear(folder):
        shutil.rmtree(folder / path)
        (folder / path).mkdir()

    return clear


def _nan_loss(folder):
    log = folder / "training_log.csv"
    log.write_text(log.read_text().replace("0.30000", "nan"))


IMAGE, LABEL, MODEL, LOG = "data/images/03.png", "data/labels/03.txt", "detector.onnx", "training_log.csv"

# How the project is damaged, to the items that are red then, with their reason.
DAMAGE = {
    "no data": (
        lambda folder: shutil.rmtree(folder / "data"),
        dict.fromkeys(("DATA", "DETECT"), "ERROR: spec.yaml:8: .*does not exist"),
    ),
    "empty data": (_empty("data/images"), dict.fromkeys(("DATA", "DETECT"), "ERROR: spec.yaml:8: .*no image in")),
    "zero bytes": (
        _write(IMAGE, b""),
        {"DATA": "FAIL: corrupt_images", "DETECT": f"ERROR: {IMAGE}: the file is empty"},
    ),
    "cut image": (_cut(IMAGE), {"DATA": "FAIL: corrupt_images", "DETECT": f"ERROR: {IMAGE}: the file is truncated"}),
    "class name": (
        _write(LABEL, b"pedestrian 0.5 0.5 0.1 0.1\n"),
        {"DATA": "FAIL: annotation_errors", "DETECT": f"ERROR: {LABEL}:1: class 'pedestrian' is not a whole number"},
    ),
    "NaN in label": (
        _write(LABEL, b"0 0.5 0.5 0.1 0.1\n0 nan 0.5 0.1 0.1\n"),
        {"DATA": "FAIL: annotation_errors", "DETECT": f"ERROR: {LABEL}:2: .*not finite"},
    ),
    "class out of range": (
        _write(LABEL, b"7 0.5 0.5 0.1 0.1\n"),
        {"DATA": "FAIL: annotation_errors", "DETECT": f"ERROR: {LABEL}:1: class 7"},
    ),
    "binary label": (
        _write(LABEL, b"\xff\xfe\x00\x01"),
        {"DATA": "FAIL: annotation_errors", "DETECT": f"ERROR: {LABEL}: cannot read the label file"},
    ),
    "no labels": (
        lambda folder: shutil.rmtree(folder / "data/labels"),
        {"DETECT": "ERROR: data/labels/00.txt: .*missing"},
    ),
    "cut model": (_cut(MODEL), dict.fromkeys(("DETECT", "SIZE"), "ERROR: spec.yaml:10: .*no ONNX file or is cut off")),
    "empty model": (_write(MODEL, b""), dict.fromkeys(("DETECT", "SIZE"), "ERROR: spec.yaml:10: .*holds no graph")),
    "no model": (
        lambda folder: (folder / MODEL).unlink(),
        dict.fromkeys(("DETECT", "SIZE"), "ERROR: spec.yaml:10: .*does not exist"),
    ),
    "NaN in log": (_nan_loss, {"TRAIN": "INCONCLUSIVE: validity condition finite_losses"}),
    "empty log": (_write(LOG, b""), {"TRAIN": f"ERROR: {LOG}: the log has no epoch"}),
    "text in log": (
        _write(LOG, b"epoch,train_loss,val_loss\n1,a,b\n"),
        {"TRAIN": f"ERROR: {LOG}:2: train_loss: 'a' is not a number"},
    ),
    "binary log": (_write(LOG, b"\xff\x00\xfe"), {"TRAIN": f"ERROR: {LOG}: the log is no UTF-8 text"}),
}

# What the model puts out or how long it was trained, to the same.
MISFITS = {
    "layout": (
        {"detector": {"rows": np.zeros((1, 6, 30), np.float32)}},
        {"DETECT": "ERROR: .*do not fit layout 'boxes_scores_labels'"},
    ),
    "NaN box": (
        {"detector": outputs(((np.nan, 10, 40, 40),))},
        {"DETECT": "ERROR: .*puts out NaN or infinity for image 'images/00.png'"},
    ),
    "unknown label": ({"detector": outputs(label=3)}, {"DETECT": "ERROR: .*label 3 of 1 declared classes"}),
    "three epochs": ({"epochs": 3}, {"TRAIN": "INCONCLUSIVE: validity condition enough_epochs"}),
}


def _judge(project, expected, **options):
    project.spec(*ITEMS, header=PERCEPTION)
    outcome = project.run(**options)
    found = project.results()
    assert {name for name, one in found.items() if one["verdict"] != "PASS"} == set(expected)
    for name, message in expected.items():
        assert re.match(message, f"{found[name]['verdict']}: {found[name]['reasons'][0]}"), found[name]["reasons"]
    assert outcome.ret == int(bool(expected))
    told = outcome.stdout.str() + outcome.stderr.str()
    assert "Traceback" not in told
    assert "Warning" not in told


def test_intact_project_is_green(project):
    """The project that the following tests damage has nothing wrong with it."""
    write_perception(project.pytester.path)
    _judge(project, {})


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_file_makes_the_items_that_need_it_red(project, name):
    """A damaged file is told with its place, and items that do not need it are judged."""
    write_perception(project.pytester.path)
    damage, expected = DAMAGE[name]
    damage(project.pytester.path)
    _judge(project, expected)


@pytest.mark.parametrize("name", MISFITS)
def test_misfit_makes_the_items_that_need_it_red(project, name):
    """A model whose outputs fit nothing, or a log that is too short, shows nothing."""
    options, expected = MISFITS[name]
    write_perception(project.pytester.path, **options)
    _judge(project, expected)


def test_stale_cache_does_not_hide_a_damaged_image(project):
    """Predictions from the cache are not used for data that has changed since."""
    write_perception(project.pytester.path)
    _judge(project, {})
    _cut(IMAGE)(project.pytester.path)
    _judge(project, DAMAGE["cut image"][1])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format: yolo", "format: yollo", "spec.yaml:8: data set test: unknown format 'yollo'. Did you mean 'yolo'?"),
        ("format: yolo", "format: yolo, object: x.csv", "*unknown option 'object'. Did you mean 'objects'?"),
        ("batch_size: 4", "batchsize: 4", "spec.yaml:10: model 'detector': unknown key batchsize. Did you mean*"),
        ("task: detection", "task: detecting", "*model 'detector': task: Input should be 'detection'*"),
        (
            "  models:",
            "  configs:\n    c: {pth: c.yaml}\n  models:",
            "*config c: unknown option 'pth'. Did you mean*",
        ),
    ],
)
def test_wrong_key_of_an_input_ends_the_run_with_code_4(project, old, new, message):
    """A misspelt key of an input is an error of the spec, whether or not an item needs the input today."""
    write_perception(project.pytester.path)
    project.spec(ITEMS[0], header=header(**{old: new}))
    outcome = project.run()
    assert outcome.ret == 4
    outcome.stderr.fnmatch_lines([f"*{message.lstrip('*')}"])


def test_item_without_a_criterion_is_pending(project):
    """A measurement that nothing is asked of shows nothing."""
    write_perception(project.pytester.path)
    project.spec(item("SIZE", "model_size", []), header=header())
    assert project.run().ret == 1
    assert project.results()["SIZE"]["verdict"] == "PENDING"
    assert project.results()["SIZE"]["reasons"] == ["no criterion adopted"]


@pytest.mark.parametrize(
    ("blocked", "expected"),
    [
        (
            ("onnxruntime",),
            dict.fromkeys(("DETECT", "SIZE"), r'ERROR: onnxruntime is not.*pip install "pytest-mle\[onnx\]"'),
        ),
        (("cv2",), dict.fromkeys(("DATA", "DETECT"), r'ERROR: OpenCV is not.*pip install "pytest-mle\[vision\]"')),
        (
            ("cv2", "onnxruntime", "onnx", "torch", "simplejpeg", "xxhash"),
            {
                "DATA": "ERROR: OpenCV is not installed",
                "DETECT": "ERROR: onnx is not installed",
                "SIZE": "ERROR: onnx is not installed",
            },
        ),
    ],
)
def test_extra_that_is_not_installed_names_its_command(project, blocked, expected, monkeypatch):
    """Items that need a missing library are ERROR with the command that installs it; the others are judged."""
    write_perception(project.pytester.path)
    folder = project.pytester.path / "blocked"
    folder.mkdir()
    for library in blocked:
        (folder / f"{library}.py").write_text(
            f"raise ModuleNotFoundError('No module named {library}', name='{library}')\n"
        )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    _judge(project, expected, process=True)


def test_torch_that_is_not_installed_names_its_command(project, monkeypatch):
    """A TorchScript model without PyTorch is an ERROR with the command that installs it."""
    folder = project.pytester.path
    write_perception(folder)
    with zipfile.ZipFile(folder / "detector.pt", "w") as archive:
        archive.writestr("detector/version", "3")
    (folder / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    project.spec(item("SIZE", "model_size", "file_size < 1 MB"), header=header(**{"detector.onnx": "detector.pt"}))
    assert project.run(process=True).ret == 1
    assert project.results()["SIZE"]["reasons"] == [
        'PyTorch is not installed. Install it with: pip install torch, or pip install "pytest-mle[torch]"'
    ]


def test_spec_errors_do_not_depend_on_the_terminal(project):
    """Without a terminal and with a tiny one the message and the exit code are the same."""
    project.spec(item("A-01", accept="errors = 0"), header=HEADER)
    command = [sys.executable, "-m", "pytest", "--mle-spec=spec.yaml", "-p", "no:terminal"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "20"})
    assert found.returncode == 4
    assert "spec.yaml:7: " in found.stderr
    assert "Traceback" not in found.stderr

"""The example's checklists run as a user runs them: the good one green, the bad one red in every way there is."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.torch

EXAMPLE = Path(__file__).parents[2] / "example_project"
GENERATED = {"build", "mle-reports", ".mle-cache", "__pycache__", ".pytest_cache", ".ruff_cache"}
SIZE_LIMIT = 15_500_000

RED = {
    "MLE1-2-01": "PASS",
    "MLE1-1.2-04[damaged]": "FAIL",
    "PRJ-01[train]": "PASS",
    "PRJ-01[test]": "PASS",
    "MLE2-1.1-04": "PASS",
    "MLE2-2.2-04": "PASS",
    "MLE3-2.1-03": "FAIL",
    "MLE3-2.1-04": "PASS",
    "MLE4-1.1-01": "FAIL",
    "MLE4-1.1-02": "FAIL",
    "MLE4-1.1-03": "FAIL",
    "MLE4-1.1-04[clear]": "FAIL",
    "MLE4-1.1-04[fog]": "FAIL",
    "MLE4-1.1-04[snow]": "FAIL",
    "MLE4-1.1-05": "FAIL",
    "MLE4-1.1-06": "FAIL",
    "MLE4-1.1-07": "PASS",
    "MLE4-1.2-01": "PASS",
    "MLE4-1.2-03": "PASS",
    "MLE4-2.2-01": "FAIL",
    "MLE4-2.2-02[0.01]": "FAIL",
    "MLE5-1.1-01": "FAIL",
    "GAP-14": "FAIL",
    "GAP-14-size": "PASS",
    "MLE4-1.1-08": "FAIL",
    "MLE5-1.1-04": "PASS",
    "MLE5-2.2-01": "FAIL",
    "RED-01": "ERROR",
    "RED-02": "ERROR",
    "RED-03": "INCONCLUSIVE",
    "RED-04": "PENDING",
    "RED-05": "PENDING",
    "RED-06": "PENDING",
    "RED-07": "NOT_APPLICABLE",
}

# In which findings each planted defect must be listed.
FOUND_AS = {
    "truncated_image": "corrupt_images",
    "empty_image": "zero_byte_images",
    "garbage_image": "corrupt_images",
    "wrong_image_format": "wrong_extensions",
    "missing_label": "missing_labels",
    "class_name_in_label": "unparsable_label_lines",
    "nan_in_label": "unparsable_label_lines",
    "unknown_class": "annotation_errors",
    "box_outside_image": "annotation_errors",
    "zero_size_box": "annotation_errors",
    "repeated_box": "annotation_errors",
    "short_line": "unparsable_label_lines",
    "extra_columns": "unparsable_label_lines",
    "orphan_label": "orphan_labels",
    "exact_duplicate": "exact_duplicates",
    "near_duplicate": "near_duplicate_pairs",
}


def start(spec, folder):
    """Start pytest in the example's folder, writing nothing there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MLE_"))}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "120"}
    environment.setdefault("OMP_NUM_THREADS", "1")
    folder.mkdir()
    command = [sys.executable, "-m", "pytest", f"--mle-spec={spec}", "-p", "no:cacheprovider"]
    command += [f"--mle-report-dir={folder / 'reports'}", f"--mle-cache-dir={folder / 'cache'}"]
    with (folder / "output.txt").open("w", encoding="utf-8") as output:
        return subprocess.Popen(command, cwd=EXAMPLE, env=environment, stdout=output, stderr=subprocess.STDOUT)


def finished(process, folder):
    """Wait for a run and read what it left."""
    try:
        exit_code = process.wait(timeout=540)
    finally:
        process.kill()
    output = (folder / "output.txt").read_text(encoding="utf-8")
    assert (folder / "reports/results.json").is_file(), output
    results = json.loads((folder / "reports/results.json").read_text(encoding="utf-8"))
    return SimpleNamespace(
        exit_code=exit_code,
        output=output,
        results=results,
        items={item["name"]: item for item in results["specs"][0]["items"]},
        junit={path.stem: path for path in sorted((folder / "reports/junit").iterdir())},
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Both specs, run side by side: that the machine is busy must not change a verdict."""
    folder = tmp_path_factory.mktemp("example")
    started = {spec: start(spec, folder / spec) for spec in ("spec.yaml", "spec_red.yaml")}
    return {spec: finished(process, folder / spec) for spec, process in started.items()}


@pytest.fixture(scope="module")
def green(runs):
    """The run of spec.yaml."""
    return runs["spec.yaml"]


@pytest.fixture(scope="module")
def red(runs):
    """The run of spec_red.yaml."""
    return runs["spec_red.yaml"]


def quantities(item):
    """Return what an item measured, by name."""
    return {quantity["name"]: quantity for quantity in item["quantities"]}


def rows_of(path):
    """Read a table."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_spec_is_green(green):
    """The good spec ends with exit code 0, at least 25 green items, and some in each of MLE.1 to MLE.5."""
    assert green.exit_code == 0, green.output
    assert "gate: GREEN" in green.output
    assert {item["verdict"] for item in green.items.values()} == {"PASS", "WARNING"}
    assert len(green.items) >= 25
    assert {f"MLE.{number}" for number in range(1, 6)} <= {item["process"] for item in green.items.values()}


def test_expected_warnings(green):
    """Two advisory criteria are breached, and no more: the log has no plateau yet, the slices are small."""
    warned = {name: item["reasons"] for name, item in green.items.items() if item["verdict"] == "WARNING"}
    assert set(warned) == {"MLE3-2.1-03", "MLE5-1.1-01"}
    assert warned["MLE3-2.1-03"][0].startswith("plateau_epochs >= 3: plateau_epochs is 0 epochs")
    assert warned["MLE5-1.1-01"][0].startswith("absolute_worst_slice_drop <= 5 pp: ")


@pytest.mark.parametrize("spec", ["spec.yaml", "spec_red.yaml"])
def test_one_junit_file_per_base_practice(runs, spec):
    """Each base practice has one file that other tools read, with every item of it once and the verdicts as states."""
    junitparser = pytest.importorskip("junitparser")
    run = runs[spec]
    assert set(run.junit) == {f"TEST-{item['base_practice']}" for item in run.items.values()}
    seen = {}
    for stem, path in run.junit.items():
        xml = junitparser.JUnitXml.fromfile(str(path))
        states = []
        for suite in xml:
            for case in suite:
                seen[case.name] = stem
                states.append(type(case.result[0]).__name__ if case.result else "Passed")
                assert case.classname.removeprefix("extension.") == stem.removeprefix("TEST-")
        assert (xml.tests, xml.failures, xml.errors) == (len(states), states.count("Failure"), states.count("Error"))
        assert (set(states) <= {"Passed"}) == all(
            run.items[name]["verdict"] in ("PASS", "WARNING") for name, of in seen.items() if of == stem
        )
    assert seen == {name: f"TEST-{item['base_practice']}" for name, item in run.items.items()}


def test_every_verdict_rests_on_a_measurement(green):
    """Each criterion has a measured value; each estimate its n and an interval around a value that is not its bound."""
    for name, item in green.items.items():
        measured = quantities(item)
        assert item["criteria"], name
        for criterion in item["criteria"]:
            quantity = measured[criterion["quantity"]]
            assert math.isfinite(criterion["measured"]), (name, criterion)
            assert criterion["measured"] == quantity["value"]
            if quantity["kind"] == "estimate":
                assert quantity["n"] > 0, (name, criterion)
                assert quantity["lower"] <= quantity["value"] <= quantity["upper"], (name, criterion)
                assert quantity["lower"] < quantity["upper"], (name, criterion)
                assert "%" in criterion["decided_by"], (name, criterion)


def test_values_are_those_of_the_committed_files(green):
    """What is reported equals what the files say by another way: counted images, bytes, objects, epochs."""
    for split in ("train", "val", "test"):
        name = next(name for name in green.items if name.startswith(f"MLE1-1.2-04[{split}"))
        images = len(list((EXAMPLE / "data" / split / "images").iterdir()))
        assert quantities(green.items[name])["images_checked"]["value"] == images > 100
    for split in ("train", "test"):
        counted = [row for row in rows_of(EXAMPLE / "data" / split / "objects.csv") if row["ignore"] == "0"]
        assert quantities(green.items[f"PRJ-01[{split}]"])["pedestrians"]["value"] == len(counted)
    assert quantities(green.items["MLE4-1.1-01"])["objects"]["value"] == len(counted)
    for name, file in {"MLE2-1.1-04": "detector.onnx", "GAP-14-size": "detector.int8.onnx"}.items():
        assert quantities(green.items[name])["file_size"]["value"] == (EXAMPLE / "models" / file).stat().st_size
    log = rows_of(EXAMPLE / "training_log.csv")
    best = max(log, key=lambda row: float(row["val_map_50"]))
    training = quantities(green.items["MLE3-2.1-03"])
    assert training["epochs_logged"]["value"] == len(log)
    assert training["selected_epoch"]["value"] == int(best["epoch"])
    assert training["selected_metric"]["value"] == float(best["val_map_50"])
    assert quantities(green.items["MLE4-1.2-01"])["n_latency_samples"]["value"] >= 400
    assert quantities(green.items["MLE4-1.2-03"])["resident_peak"]["value"] > 50e6


def test_detection_quality_equals_the_examples_own_metric(green):
    """The detector's AP50 of the report is that of the example's own evaluation of the same file, within 0.01."""
    script = """
import sys
import numpy as np, onnxruntime
sys.path.insert(0, ".")
from crops import read_boxes, read_image
from metrics import match_all
from perception import MEAN, STD

boxes = read_boxes(__import__("pathlib").Path("data/test"))
session = onnxruntime.InferenceSession("models/detector.onnx")
detections = []
for name in boxes:
    image = ((read_image(f"data/test/{name}").transpose(2, 0, 1)[None] / 255 - MEAN) / STD).astype(np.float32)
    found, scores, _ = session.run(None, {"images": image})
    detections.append((found[0], scores[0]))
print(match_all(detections, list(boxes.values())).average_precision())
"""
    command = [sys.executable, "-B", "-W", "ignore", "-c", script]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    reported = quantities(green.items["MLE4-1.1-01"])["map_50"]["value"]
    assert reported == pytest.approx(float(done.stdout), abs=0.01)


def test_red_verdicts(red):
    """The bad spec has exactly these verdicts, whatever else the machine does."""
    assert {name: item["verdict"] for name, item in red.items.items()} == RED, red.output
    assert red.exit_code == 1
    assert "gate: RED" in red.output


def test_all_kinds_of_verdict_are_shown(runs):
    """Both specs together show every verdict that needs no waiver."""
    shown = {item["verdict"] for run in runs.values() for item in run.items.values()}
    assert shown == {"PASS", "WARNING", "PENDING", "INCONCLUSIVE", "FAIL", "ERROR", "NOT_APPLICABLE"}


def test_requirements_follow_their_items(red):
    """Five of eight requirements fail, and the derived item names them with the items that say so."""
    item = red.items["MLE4-1.1-08"]
    assert quantities(item)["requirements_failed"]["value"] == 5
    assert quantities(item)["requirements_verified"]["value"] == 3
    failed = next(one for one in item["findings"] if one["kind"] == "requirements_failed")
    assert {one["subject"] for one in failed["shown"]} == {f"MLE-REQ-00{number}" for number in (1, 2, 3, 4, 8)}


def test_every_planted_defect_is_listed(red):
    """Each line of DEFECTS.csv is among the findings of its kind, by file, and duplicates name their original."""
    listed = {
        kind["kind"]: [(one["path"], one["message"]) for one in kind["shown"]]
        for kind in red.items["MLE1-1.2-04[damaged]"]["findings"]
    }
    defects = rows_of(EXAMPLE / "data_damaged/DEFECTS.csv")
    assert {row["defect"] for row in defects} == set(FOUND_AS)
    for row in defects:
        messages = [text for path, text in listed[FOUND_AS[row["defect"]]] if path == f"data_damaged/{row['file']}"]
        assert messages, row
        assert not row["of"] or any(row["of"] in text for text in messages), row


def test_only_planted_defects_are_listed(red):
    """No file without a planted defect is among the findings."""
    planted = {f"data_damaged/{row['file']}" for row in rows_of(EXAMPLE / "data_damaged/DEFECTS.csv")}
    # Checksums and object counts of the metadata see the same defects at the image.
    planted |= {path.replace("/labels/", "/images/").replace(".txt", ".jpg") for path in planted}
    item = red.items["MLE1-1.2-04[damaged]"]
    assert {one["path"] for kind in item["findings"] for one in kind["shown"]} <= planted


@pytest.mark.parametrize("spec", ["spec.yaml", "spec_red.yaml"])
def test_reports_are_free_of_tracebacks_and_of_this_machines_paths(runs, spec):
    """A reader elsewhere gets sentences and relative paths of files that exist."""
    run = runs[spec]
    assert "Traceback" not in run.output
    assert str(EXAMPLE) not in run.output
    for path in run.junit.values():
        text = path.read_text(encoding="utf-8")
        assert "Traceback" not in text
        assert str(EXAMPLE) not in text
    missing = {"data_damaged/labels/000009.txt"}
    for item in run.items.values():
        for kind in item.get("findings", ()):
            for path in (one.get("path") for one in kind.get("shown", ())):
                assert path is None or path in missing or (EXAMPLE / path).is_file(), (item["name"], path)


def test_percentages_and_plain_numbers(runs):
    """Values are written as their criterion is: a rate in %, false positives an image as a number."""
    reasons = " ".join(reason for reason in runs["spec_red.yaml"].items["MLE5-2.2-01"]["reasons"])
    assert "max_ks_distance is 0." in reasons
    decided = {c["quantity"]: c["decided_by"] for c in runs["spec.yaml"].items["MLE4-1.1-06"]["criteria"]}
    assert "bound 0." in decided["false_positives_per_image"]
    assert " % (" in decided["precision"]


def test_size():
    """The example stays small enough to be cloned with the repository."""
    files = [
        path for path in EXAMPLE.rglob("*") if path.is_file() and not GENERATED & set(path.relative_to(EXAMPLE).parts)
    ]
    assert 1_000_000 < sum(path.stat().st_size for path in files) <= SIZE_LIMIT


@pytest.mark.parametrize("name", ["detector.onnx", "detector.int8.onnx", "detector_undertrained.onnx"])
def test_onnx_files_fit_their_declaration(name):
    """Input and outputs of the committed models are what spec.yaml declares."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(EXAMPLE / "models" / name).graph
    (image,) = graph.input
    assert [size.dim_value for size in image.type.tensor_type.shape.dim][1:] == [3, 144, 192]
    assert {output.name for output in graph.output} == {"boxes", "scores", "labels"}


def test_training_log_is_that_of_the_training_script(green):
    """The log that the spec reads has train.py's columns, and training_run.json tells the same story of the same data."""
    script = "import json, train; print(json.dumps([train.COLUMNS, {n: train.digest_of(train.ROOT / 'data' / n) for n in ('train', 'val')}]))"
    command = [sys.executable, "-B", "-c", script]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    columns, digests = json.loads(done.stdout)
    log = rows_of(EXAMPLE / "training_log.csv")
    run = json.loads((EXAMPLE / "training_run.json").read_text(encoding="utf-8"))
    assert list(log[0]) == columns
    assert run["epochs"] == len(log)
    assert run["val_map_50"] == pytest.approx(max(float(row["val_map_50"]) for row in log), abs=1e-5)
    assert run["dataset_sha256"] == digests
    assert quantities(green.items["MLE3-2.1-03"])["epochs_logged"]["value"] == run["epochs"]


def copied(folder):
    """Copy the example without what it generates; large data is linked."""
    target = folder / "example"
    target.mkdir()
    for path in EXAMPLE.iterdir():
        if path.name in GENERATED:
            continue
        if path.name.startswith("data") and path.is_dir():
            (target / path.name).symlink_to(path, target_is_directory=True)
        elif path.is_dir():
            shutil.copytree(path, target / path.name)
        else:
            shutil.copyfile(path, target / path.name)
    return target


def run_script(folder, *arguments):
    """Run one of the example's scripts."""
    command = [sys.executable, "-B", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=590)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_classifier_trains_robust_again(tmp_path):
    """`train.py --classifier` gives a classifier that keeps 80 % under FGSM, by the check itself."""
    folder = copied(tmp_path)
    weights = folder / "models/crop_classifier.pt"
    weights.unlink()
    # With two threads, other work on the machine makes each step wait for the other thread.
    run_script(folder, "train.py", "--classifier", "--threads", "1")
    assert weights.is_file()
    command = [sys.executable, "-m", "pytest", "--mle-spec=spec.yaml", "-p", "no:cacheprovider", "-k", "MLE4-2.2-01"]
    done = subprocess.run(
        [*command, "--mle-report-dir=reports", f"--mle-data-root={EXAMPLE}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    results = json.loads((folder / "reports/results.json").read_text(encoding="utf-8"))
    item = next(item for item in results["specs"][0]["items"] if item["name"] == "MLE4-2.2-01")
    assert quantities(item)["fgsm_accuracy"]["value"] > 0.8


@pytest.mark.slow
def test_data_sets_are_generated_byte_for_byte(tmp_path):
    """`generate_data.py` writes the committed data sets again, every file of them."""
    run_script(EXAMPLE, "generate_data.py", "--out", str(tmp_path / "data"))

    def digests(folder):
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*")
            # DVC's files say what the data are; they are none of them.
            if path.is_file() and path.suffix != ".dvc"
        }

    assert digests(tmp_path / "data") == digests(EXAMPLE / "data")


@pytest.mark.slow
def test_damage_is_planted_byte_for_byte(tmp_path):
    """`damage.py` plants the committed defects again."""
    folder = copied(tmp_path)
    (folder / "data_damaged").unlink()
    run_script(folder, "damage.py")
    again = {path.relative_to(folder): path.read_bytes() for path in (folder / "data_damaged").rglob("*.*")}
    committed = {path.relative_to(EXAMPLE): path.read_bytes() for path in (EXAMPLE / "data_damaged").rglob("*.*")}
    assert again == committed


@pytest.mark.slow
def test_exports_of_the_committed_weights(tmp_path):
    """What export.py makes of committed files (classifier, INT8 detector) computes what the committed exports do."""
    numpy = pytest.importorskip("numpy")
    onnxruntime = pytest.importorskip("onnxruntime")
    folder = copied(tmp_path)
    script = """
from export import *
logging.getLogger().setLevel(logging.ERROR)
export_classifier(MODELS / "crop_classifier.pt", MODELS / "again_classifier.onnx")
quantise(MODELS / "detector.onnx", MODELS / "again_int8.onnx", calibration_images(ROOT / "data" / "train", CALIBRATION_IMAGES), careful=True)
"""
    run_script(folder, "-W", "ignore", "-c", script)
    chance = numpy.random.default_rng(0)
    for committed, again, name, shape in (
        ("crop_classifier.onnx", "again_classifier.onnx", "crops", (4, 3, 32, 32)),
        ("detector.int8.onnx", "again_int8.onnx", "images", (2, 3, 144, 192)),
    ):
        pixels = chance.random(shape, dtype=numpy.float32)
        results = [
            onnxruntime.InferenceSession(folder / "models" / file).run(None, {name: pixels})
            for file in (committed, again)
        ]
        for first, second in zip(*results, strict=True):
            numpy.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-4)

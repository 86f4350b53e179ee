"""Items that take their quantities from a record: the verdict is that of a measurement, or red with the reason."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from checklist_project import item
from perception_project import write_perception

from pytest_mle.inputs.datasets import open_dataset
from pytest_mle.inputs.models import open_model

NOW = datetime.now(UTC)
EXCUSED = {"model": "built on the board", "dataset": "live camera"}
DETECTOR = {
    "path": "detector.onnx",
    "task": "detection",
    "classes": ["pedestrian"],
    "preprocess": {"size": [64, 48], "resize": "letterbox"},
    "output": {"layout": "boxes_scores_labels", "boxes": "xyxy", "coordinates": "pixel"},
    "batch_size": 4,
}
LATENCY = {"latency_mean": {"unit": "ms", "value": 10, "upper": 11, "confidence": 0.95}}


def write_record(project, quantities, **head):
    """Write a record that was measured a day ago on a Jetson, and return its digest."""
    record = {
        "mle_record": 1,
        "measured_at": (NOW - timedelta(days=1)).isoformat(),
        "measured_by": "Test bench 3",
        "tool": "trtexec 10.3",
        "hardware": {"board": "Jetson AGX Orin"},
        "quantities": quantities,
        **head,
    }
    path = Path(project.pytester.path) / "bench.json"
    path.write_text(json.dumps(record))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_spec(project, *items, inputs=None, **entry):
    """Write a spec with the record `bench` and items that use it, at 95 % confidence."""
    declared = {"records": {"bench": {"path": "bench.json", "unidentified": EXCUSED, **entry}}, **(inputs or {})}
    header = (
        "mle_spec: 1\nproject: {name: Records}\nprocesses: []\n"
        f"policy: {{confidence: 95 %}}\ninputs: {json.dumps(declared)}\nitems:\n"
    )
    project.spec(*items, header=header)


def recorded(identifier, accept, check=None, using=None, **keys):
    """Return an item that takes its quantities from the record."""
    line = item(identifier, "CHECK", accept, using={"record": "bench", **(using or {})}, **keys)
    return line.replace("check: CHECK, ", "" if check is None else f"check: {check}, ")


def run_all(project, *items, **keys):
    """Run a spec and return its results by name."""
    write_spec(project, *items, **keys)
    assert project.run().ret in (0, 1)
    return project.results()


def run_one(project, line, **keys):
    """Run a spec of one item and return its result."""
    (result,) = run_all(project, line, **keys).values()
    return result


def test_the_report_of_the_handbook_is_judged_by_what_it_can_show(project):
    """Its numbers as counts: what is too close to its limit for its n is not shown, and more data show it."""
    write_record(
        project,
        {
            "map_after_int8": {"successes": 23775, "trials": 25000},
            "map_before": {"successes": 23950, "trials": 25000},
            "fgsm_accuracy_1000": {"successes": 821, "trials": 1000},
            "fgsm_accuracy_5000": {"successes": 4105, "trials": 5000},
            "edge_case_accuracy": {"successes": 3965, "trials": 5000},
            "recall": {"value": 0.971},
            "false_negative_rate": {"successes": 200, "trials": 25000},
            "hil_failure_rate": {"successes": 0, "trials": 1000},
        },
    )
    results = run_all(
        project,
        recorded("INT8", "map_after_int8 >= 95 %"),
        recorded("FP32", "map_before >= 95 %"),
        recorded("FGSM-1000", "fgsm_accuracy_1000 >= 80 %"),
        recorded("FGSM-5000", "fgsm_accuracy_5000 >= 80 %"),
        recorded("EDGE", "edge_case_accuracy >= 80 %"),
        recorded("FNR", "false_negative_rate <= 1 %"),
        recorded("HIL", "hil_failure_rate <= 0.3 %"),
        recorded("HIL-0.1", "hil_failure_rate <= 0.1 %"),
    )
    assert {name: one["verdict"] for name, one in results.items()} == {
        "INT8": "INCONCLUSIVE",
        "FP32": "PASS",
        "FGSM-1000": "INCONCLUSIVE",
        "FGSM-5000": "PASS",
        "EDGE": "INCONCLUSIVE",
        "FNR": "INCONCLUSIVE",
        "HIL": "PASS",
        "HIL-0.1": "INCONCLUSIVE",
    }
    assert results["INT8"]["quantities"][0]["lower"] == pytest.approx(0.9487, abs=5e-5)
    (reason,) = results["FNR"]["reasons"]
    assert reason.endswith("false_negative_rate is 0.8 %, but 1 - recall = 2.9 % (recall 97.1 %)")


@pytest.mark.parametrize(
    ("quantity", "criterion", "verdict"),
    [
        ({"unit": "ms", "value": 18.9, "upper": 19.4, "confidence": "95 %"}, "<= 20 ms", "PASS"),
        ({"unit": "s", "value": 0.0189, "upper": 0.0194, "confidence": 0.99}, "<= 20 ms", "PASS"),
        ({"unit": "ms", "value": 18.9, "upper": 20.1, "confidence": 0.95}, "<= 20 ms", "INCONCLUSIVE"),
        ({"unit": "ms", "value": 18.9, "lower": 18, "confidence": 0.95}, "<= 20 ms", "INCONCLUSIVE"),
        ({"unit": "ms", "value": 21, "lower": 20.5, "confidence": 0.95}, "<= 20 ms", "FAIL"),
        ({"unit": "ms", "value": 18.9, "upper": 19.4, "confidence": 0.9}, "<= 20 ms", "INCONCLUSIVE"),
        ({"unit": "ms", "value": 18.9}, "<= 20 ms", "INCONCLUSIVE"),
        ({"unit": "ms", "value": 18.9}, "<= 20 ms by point value", "PASS"),
        ({"value": 18.9}, "<= 20 ms", "ERROR"),
        ({"unit": "m", "value": 18.9}, "<= 20 ms", "ERROR"),
        ({"unit": "msec", "value": 18.9}, "<= 20 ms", "ERROR"),
        ({"unit": "ms", "value": -18.9}, "<= 20 ms by point value", "ERROR"),
        ({"unit": "ms", "exact": 18.9}, "<= 20 ms", "ERROR"),
        ({"unit": "ms", "samples": [18.0] * 58, "statistic": "p95"}, "<= 20 ms", "INCONCLUSIVE"),
        ({"unit": "ms", "samples": [18.0] * 58, "statistic": "p95"}, "<= 20 ms by point value", "INCONCLUSIVE"),
        ({"unit": "ms", "samples": [18.0] * 59, "statistic": "p95"}, "<= 20 ms", "PASS"),
        ({"unit": "ms", "samples": [18.0, 0], "statistic": "max"}, "<= 20 ms by point value", "ERROR"),
        ({"unit": "ms", "samples": [18.0] * 60, "statistic": "max"}, "<= 20 ms", "INCONCLUSIVE"),
    ],
)
def test_a_check_decides_which_quantities_and_units_exist(project, quantity, criterion, verdict):
    """A recorded quantity is judged in the unit and kind that its check declares, at the confidence that is asked."""
    write_record(project, {"latency_p95": quantity})
    assert run_one(project, recorded("L", f"latency_p95 {criterion}", "latency_profile"))["verdict"] == verdict


@pytest.mark.parametrize(
    ("quantity", "verdict"),
    [
        ({"unit": "ms", "value": 19}, "PASS"),
        ({"unit": "ms", "exact": 19}, "PASS"),
        ({"unit": "ms", "samples": [18, 19], "statistic": "max"}, "PASS"),
        ({"unit": "ms", "samples": [18, 21], "statistic": "max"}, "FAIL"),
        ({"unit": "ms", "samples": [18, 19], "statistic": "mean"}, "ERROR"),
        ({"unit": "ms", "value": 19, "upper": 21, "confidence": 0.95}, "ERROR"),
    ],
)
def test_an_observation_is_recorded_as_one(project, quantity, verdict):
    """A quantity that is declared exact has no interval to hide behind."""
    write_record(project, {"latency_max": quantity})
    assert run_one(project, recorded("L", "latency_max <= 20 ms", "latency_profile"))["verdict"] == verdict


def test_the_result_says_that_it_was_recorded(project):
    """Settings, inputs, the property and the decision name the record with digest, time, person, tool and hardware."""
    digest = write_record(project, {"rate": {"successes": 1, "trials": 100}})
    result = run_one(project, recorded("R", "rate <= 1 %"))
    assert result["settings"]["recorded"]["sha256"] == digest
    assert result["settings"]["recorded"]["measured_by"] == "Test bench 3"
    assert result["inputs"]["record"]["sha256"] == digest
    assert result.get("check_location") is None
    junit = (Path(project.pytester.path) / "mle-reports/junit/TEST-MLE.4.BP3.xml").read_text()
    said = f"bench.json sha256 {digest}, measured "
    assert f'<property name="mle.recorded" value="{said}' in junit
    assert f"recorded, not measured here: {said}" in junit
    assert "with trtexec 10.3 on board Jetson AGX Orin; model not identified: built on the board" in junit


@pytest.mark.parametrize(
    ("head", "entry", "broken", "reason"),
    [
        ({}, {"unidentified": {}}, "identified", "does not tell what was measured: model_sha256 and dataset_sha256"),
        ({}, {"unidentified": {"model": "x"}}, "identified", "dataset_sha256 missing"),
        ({"measured_at": (NOW + timedelta(days=1)).isoformat()}, {}, "measured_in_the_past", "and here it is"),
        ({}, {"valid_for": "12 h"}, "still_valid", "is 1.0 days old, valid_for is 12 h"),
        ({}, {"hardware": {"board": "Jetson Nano"}}, "expected_hardware", "board is 'Jetson AGX Orin', expected"),
        ({}, {"hardware": {"driver": 1}}, "expected_hardware", "driver is 'not recorded', expected 1"),
        ({"hardware": {}}, {}, "hardware_recorded", "latency_mean depend on the machine"),
        ({"with": {"batch": 8}}, {}, "same_parameters", "batch is 1 in the spec, 8 in the record"),
        ({"where": {"weather": "clear"}}, {}, "same_slice", "{'weather': 'clear'}, asked for everything"),
    ],
)
def test_a_record_of_something_else_shows_nothing(project, head, entry, broken, reason):
    """What was not measured for this item is INCONCLUSIVE with the condition that does not hold."""
    line = recorded("L", "latency_mean <= 20 ms", "latency_profile")
    write_record(project, LATENCY, **head)
    result = run_one(project, line, **entry)
    assert result["verdict"] == "INCONCLUSIVE"
    assert [one["name"] for one in result["validity"] if not one["holds"]] == [broken]
    assert reason in result["reasons"][0]
    write_record(project, LATENCY)
    assert run_one(project, line, valid_for="2 d", hardware={"board": "Jetson AGX Orin"})["verdict"] == "PASS"


def test_parameters_and_slice_of_the_item_must_be_told_by_the_record(project):
    """A number belongs to its conditions: what the item sets, the record has to say."""
    conditions = {"with": {"batch": 8}, "where": {"weather": "rain"}}
    line = recorded("L", "latency_mean <= 20 ms", "latency_profile", **conditions)
    write_record(project, LATENCY)
    reasons = " ".join(run_one(project, line)["reasons"])
    assert "batch is 8 in the spec, and the record does not tell it" in reasons
    assert "recorded for the slice of everything, asked for {'weather': 'rain'}" in reasons
    write_record(project, LATENCY, **conditions)
    assert run_one(project, line)["verdict"] == "PASS"


def perception(project):
    """Write images and a detector; return the inputs of a spec, and the digests of model, its file and data set."""
    folder = Path(project.pytester.path)
    write_perception(folder)
    inputs = {"datasets": {"test": {"path": "data", "format": "yolo"}}, "models": {"detector": DETECTOR}}
    model = open_model("detector", DETECTOR, folder).digest
    dataset = open_dataset("test", inputs["datasets"]["test"], folder).digest
    return inputs, model, hashlib.sha256((folder / "detector.onnx").read_bytes()).hexdigest(), dataset


def test_a_record_is_of_this_model_and_data_set_or_shows_nothing(project):
    """Our digest and the file's name a model, ours a data set; another one is not excused by `unidentified`."""
    inputs, model, file, dataset = perception(project)
    rate = {"recall": {"successes": 990, "trials": 1000}}
    lines = (recorded("CHECK", "recall >= 95 %", "detection_quality"), recorded("NONE", "recall >= 95 %"))
    for digest in (model, file):
        write_record(project, rate, model_sha256=digest, dataset_sha256=dataset)
        results = run_all(project, *lines, inputs=inputs, unidentified={})
        assert {one["verdict"] for one in results.values()} == {"PASS"}, digest
        assert results["CHECK"]["inputs"]["dataset"]["sha256"] == dataset
    write_record(project, rate, model_sha256="0" * 64, dataset_sha256="1" * 64)
    for result in run_all(project, *lines, inputs=inputs).values():
        assert result["verdict"] == "INCONCLUSIVE"
        assert f"recorded for another model: {'0' * 64}, model 'detector' is {model} or {file}" in result["reasons"][0]
        assert f"recorded for another data set: {'1' * 64}, data set 'test' is {dataset}" in result["reasons"][0]


def test_a_model_of_the_target_is_known_by_its_file(project):
    """An engine that nothing here can open is identified by the SHA-256 of its file; absent, it is an error."""
    path = Path(project.pytester.path) / "detector.engine"
    path.write_bytes(b"built on the board")
    inputs = {"models": {"deployed": {**DETECTOR, "path": "detector.engine"}}}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    write_record(project, {"rate": {"successes": 0, "trials": 1000}}, model_sha256=digest)
    line = recorded("R", "rate <= 1 %", using={"model": "deployed"})
    assert run_one(project, line, inputs=inputs, unidentified={})["verdict"] == "PASS"
    path.write_bytes(b"built again")
    assert run_one(project, line, inputs=inputs, unidentified={})["verdict"] == "INCONCLUSIVE"
    path.unlink()
    result = run_one(project, line, inputs=inputs, unidentified={})
    assert result["verdict"] == "ERROR"
    assert "'detector.engine' does not exist" in result["reasons"][0]


def test_two_models_need_two_digests(project):
    """One digest cannot tell which of a check's models it is of."""
    inputs, model, _, dataset = perception(project)
    inputs["models"]["int8"] = {**DETECTOR, "batch_size": 2, "output": {**DETECTOR["output"], "score_threshold": 0.2}}
    drop = {"absolute_accuracy_drop": {"unit": "pp", "value": 0.5, "upper": 0.9, "confidence": 0.95}}
    using = {"reference": "detector", "candidate": "int8", "dataset": "test"}
    line = recorded("Q", "absolute_accuracy_drop <= 1 pp", "quantization_accuracy_drop", using=using)
    write_record(project, drop, model_sha256=model, dataset_sha256=dataset)
    result = run_one(project, line, inputs=inputs, unidentified={})
    assert "model_sha256.reference and model_sha256.candidate missing" in result["reasons"][0]
    deployed = open_model("int8", inputs["models"]["int8"], Path(project.pytester.path)).digest
    assert deployed != model
    write_record(project, drop, model_sha256={"reference": model, "candidate": deployed}, dataset_sha256=dataset)
    assert run_one(project, line, inputs=inputs, unidentified={})["verdict"] == "PASS"
    write_record(project, drop, model_sha256={"reference": deployed, "candidate": deployed}, dataset_sha256=dataset)
    assert run_one(project, line, inputs=inputs, unidentified={})["verdict"] == "INCONCLUSIVE"


def test_a_damaged_record_is_an_error_of_the_items_that_need_it(project):
    """Cut off, absent or without the quantities: ERROR with the file, and other items run."""
    line, other = recorded("R", "rate <= 1 %"), item("OTHER", accept="errors == 0")
    write_record(project, {"rate": {"successes": 0, "trials": 1000}})
    path = Path(project.pytester.path) / "bench.json"
    path.write_text(path.read_text()[:-4])
    results = run_all(project, line, other)
    assert (results["R"]["verdict"], results["OTHER"]["verdict"]) == ("ERROR", "PASS")
    assert "bench.json:1: not valid JSON, or cut off" in results["R"]["reasons"][0]
    path.unlink()
    assert "cannot read bench.json" in run_one(project, line)["reasons"][0]
    write_record(project, {"rat": {"successes": 0, "trials": 1000}})
    assert "record bench has no 'rate'. Did you mean 'rat'" in run_one(project, line)["reasons"][0]
    latency = recorded("L", "latency_p95 <= 1 s", "latency_profile")
    assert "has none of the quantities of latency_profile" in run_one(project, latency)["reasons"][0]


def test_a_quantity_that_the_record_lacks_is_not_green(project):
    """Of a check's quantities a record may have some; a criterion on another one is INCONCLUSIVE."""
    write_record(project, LATENCY)
    result = run_one(project, recorded("L", ["latency_mean <= 20 ms", "latency_p95 <= 20 ms"], "latency_profile"))
    assert result["verdict"] == "INCONCLUSIVE"
    assert "latency_p95 was not measured" in result["reasons"][0]


@pytest.mark.parametrize(
    ("quantity", "criterion", "reason"),
    [
        ({"unit": "ms", "value": 18.9}, "x <= 20", "x needs a unit"),
        ({"unit": "ms", "value": 18.9}, "x <= 20 MB", "x is measured in"),
        ({"value": 18.9}, "x <= 20 ms", "has no time: drop the unit 'ms'"),
        ({"value": 0.9}, "x == 1", "so == can never be shown"),
        ({"successes": 9, "trials": 10}, "x <= 5", "cannot exceed 100 %"),
    ],
)
def test_units_are_checked_when_only_the_record_knows_them(project, quantity, criterion, reason):
    """Without a check, a criterion in a wrong unit is an error when the record is read."""
    write_record(project, {"x": quantity})
    result = run_one(project, recorded("X", criterion))
    assert result["verdict"] == "ERROR"
    assert reason in result["reasons"][0]


@pytest.mark.parametrize(
    ("name", "quantity"),
    [
        ("recall", {"value": 97.1}),
        ("recall", {"exact": 97.1}),
        ("false_negative_rate", {"value": -0.01}),
        ("false_negative_rate", {"samples": [0.1, -0.1], "statistic": "mean"}),
        ("crashes", {"unit": "{event}", "exact": -1}),
        ("crashes", {"unit": "{event}", "exact": 0.5}),
        ("absolute_drop", {"unit": "%", "value": 1}),
    ],
)
def test_numbers_that_cannot_be_are_errors(project, name, quantity):
    """A lost percent sign, a negative rate and half a crash are mistakes, never a good value."""
    write_record(project, {"other": {"exact": 1}})
    assert run_one(project, recorded("X", "other == 1"))["verdict"] == "PASS"
    write_record(project, {name: quantity, "other": {"exact": 1}})
    assert run_one(project, recorded("X", "other == 1"))["verdict"] == "ERROR"


def test_the_spec_is_checked_before_the_run(project):
    """Unknown records are PENDING; quantities, inputs and kinds that do not exist are spec errors."""
    write_record(project, {"rate": {"exact": 1}})
    result = run_one(project, recorded("R", "rate == 1").replace("bench", "bnch"))
    assert result["verdict"] == "PENDING"
    assert "the record 'bnch' is not declared under inputs.records. Did you mean 'bench'" in result["reasons"][0]
    write_spec(
        project,
        recorded("Q", "latency_p59 <= 1 s", "latency_profile"),
        recorded("U", "rate == 1", using={"log": "x"}),
        recorded("K", "rate == 1").replace('"bench"', '"detector"'),
        recorded("D", "requirements_failed == 0", "acceptance_criteria_met"),
        inputs={"models": {"detector": DETECTOR}},
    )
    outcome = project.run()
    assert outcome.ret == 4
    outcome.stderr.fnmatch_lines(
        [
            "*latency_profile does not measure 'latency_p59'. Did you mean*",
            "*an item without check has no input 'log'. Allowed: dataset, model, record*",
            "*record takes one of inputs.records; 'detector' is declared under inputs.models*",
            "*acceptance_criteria_met has no input 'record'*",
        ]
    )


def test_a_wrong_entry_ends_the_run_before_it_starts(project):
    """A misspelt key of a record's entry does not wait for the item that needs it."""
    write_spec(project, recorded("R", "rate == 1"), valid_fr="90 d")
    outcome = project.run()
    assert outcome.ret == 4
    outcome.stderr.fnmatch_lines(["*record bench: unknown option 'valid_fr'. Did you mean 'valid_for'*"])


def test_a_check_can_read_the_record_itself(project):
    """A parameter annotated `Record` gets the record in base units, and the check runs."""
    project.conftest(
        "import pytest, pytest_mle as mle\n"
        "@pytest.fixture\n"
        "def spread(mle_record):\n"
        "    @mle.check(quantities={'spread': mle.exact('s')})\n"
        "    def measure(bench: 'Record'):\n"
        "        assert bench is mle_record\n"
        "        samples = bench.require('latency').samples\n"
        "        return {'spread': float(samples.max() - samples.min())}\n"
        "    return measure\n"
    )
    write_record(project, {"latency": {"unit": "ms", "samples": [10, 12.5], "statistic": "max"}})
    result = run_one(project, recorded("S", "spread <= 3 ms", "spread"))
    assert result["verdict"] == "PASS"
    assert result["quantities"][0]["value"] == pytest.approx(0.0025)
    assert "recorded" not in result.get("settings", {})


def test_a_record_serves_a_check_of_the_project(project):
    """A project's own check gives kinds and units to recorded quantities; owed evidence stays owed."""
    write_record(project, {"rate": {"successes": 990, "trials": 1000}, "errors": {"exact": 0}})
    results = run_all(
        project,
        recorded("OWN", ["rate >= 98 %", "errors == 0"], "constant"),
        recorded("REVIEW", "errors == 0", evidence=[{"file": "review.md"}]),
    )
    assert {name: one["verdict"] for name, one in results.items()} == {"OWN": "PASS", "REVIEW": "PENDING"}


def test_samples_that_resemble_their_neighbours_are_worth_less(project):
    """The same numbers show a bound in random order and not when they drift, as with latency_profile."""
    random = np.random.default_rng(3)
    values = 10 + random.gamma(2, 1, 400)
    line = recorded("L", f"latency_mean <= {values.mean() * 1.03:.3f} ms", "latency_profile")
    for samples, verdict in ((values, "PASS"), (np.sort(values), "INCONCLUSIVE")):
        write_record(project, {"latency_mean": {"unit": "ms", "statistic": "mean", "samples": samples.tolist()}})
        assert run_one(project, line)["verdict"] == verdict

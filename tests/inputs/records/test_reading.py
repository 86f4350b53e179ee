"""Records: the three formats, and everything that a record cannot say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pytest_mle.errors import InputError, TrustError
from pytest_mle.inputs.records import read_record

HEAD = {
    "mle_record": 1,
    "measured_at": "2026-01-04T12:30:00+01:00",
    "measured_by": "Test bench 3",
    "tool": "trtexec 10.3",
    "hardware": {"board": "Jetson AGX Orin", "cores": 12},
    "model_sha256": "AB" * 32,
}
QUANTITIES = {
    "latency_p95": {"unit": "ms", "value": 18.9, "upper": 19.4, "confidence": "95 %", "n": 1000},
    "accuracy": {"successes": 951, "trials": 1000, "effective_trials": 400.5},
    "crashes": {"unit": "{event}", "exact": 0},
    "latency_max": {"unit": "ms", "samples": [18.5, 19.25], "statistic": "max"},
}
CSV = """\
# mle_record: 1
# measured_at: 2026-01-04T12:30:00+01:00
# measured_by: Test bench 3
# tool: trtexec 10.3
# hardware.board: Jetson AGX Orin
# hardware.cores: 12
# model_sha256: {digest}
quantity,unit,value,upper,confidence,n,successes,trials,effective_trials,exact,samples,statistic
latency_p95,ms,18.9,19.4,95 %,1000,,,,,,
accuracy,,,,,,951,1000,400.5,,,
crashes,{{event}},,,,,,,,0,,
latency_max,ms,,,,,,,,,18.5 19.25,max
"""


def read(folder, content, file="bench.json", **options):
    """Write a record and read it."""
    text = content if isinstance(content, (str, bytes)) else json.dumps(content)
    (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_record("bench", {"path": file, **options}, folder)


def with_quantity(**quantity):
    """Return a record with one quantity `rate`."""
    return {**HEAD, "quantities": {"rate": quantity}}


def json_lines():
    """Return the record as JSON Lines."""
    rows = [HEAD, *({"quantity": name, **one} for name, one in QUANTITIES.items())]
    return "\n".join(json.dumps(row) for row in rows) + "\n"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("bench.json", json.dumps({**HEAD, "quantities": QUANTITIES})),
        ("bench.jsonl", json_lines()),
        ("bench.csv", CSV.format(digest="ab" * 32)),
        ("bench.CSV", CSV.format(digest="ab" * 32).replace("\n", "\r\n")),
    ],
)
def test_formats_agree(tmp_path, file, text):
    """JSON, JSON Lines and CSV of the same content give the same record."""
    record = read(tmp_path, text, file)
    assert (record.measured_by, record.tool) == ("Test bench 3", "trtexec 10.3")
    assert record.measured_at.isoformat() == "2026-01-04T12:30:00+01:00"
    assert record.hardware == {"board": "Jetson AGX Orin", "cores": 12}
    assert record.model_sha256 == "ab" * 32
    interval, counts, exact, samples = (record.require(name) for name in QUANTITIES)
    assert (interval.spelling, interval.value, interval.lower, interval.upper) == ("ms", 18.9, None, 19.4)
    assert (interval.confidence, interval.n) == (0.95, 1000)
    assert (counts.successes, counts.trials, counts.effective_trials, counts.value) == (951, 1000, 400.5, 0.951)
    assert (exact.form, exact.value) == ("exact", 0)
    assert (samples.samples.tolist(), samples.statistic) == ([18.5, 19.25], "max")
    assert len(record.digest) == 64
    assert "latency_p95" in record
    with pytest.raises(InputError, match=r"record bench has no 'latency_p59'. Did you mean 'latency_p95'"):
        record.require("latency_p59")


def test_quantities_share_a_series(tmp_path):
    """Several statistics of the same raw numbers name their series, in JSON and JSON Lines."""
    quantities = {name: {"samples": "latency", "statistic": name} for name in ("mean", "p95")}
    series = {"latency": {"unit": "ms", "values": [1, 2.5]}}
    whole = read(tmp_path, {**HEAD, "series": series, "quantities": quantities})
    rows = [HEAD, *({"quantity": name, **one} for name, one in quantities.items())]
    rows.append({"series": "latency", **series["latency"]})
    lines = read(tmp_path, "\n".join(map(json.dumps, rows)), "bench.jsonl")
    for record in (whole, lines):
        assert record.require("p95").spelling == "ms"
        np.testing.assert_array_equal(record.require("mean").samples, [1, 2.5])


def test_a_digest_can_be_told_for_each_input(tmp_path):
    """A check of two models needs to know which digest is whose."""
    digests = {"reference": "a" * 64, "deployed": "B" * 64}
    record = read(tmp_path, {**HEAD, "model_sha256": digests, "quantities": QUANTITIES})
    assert record.model_sha256 == {"reference": "a" * 64, "deployed": "b" * 64}


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        ({}, "must be told in one of these ways: exact, value, successes with trials, or samples .* got none of them"),
        ({"exact": 1, "value": 1}, "got exact and value"),
        ({"value": True}, "rate: value must be a finite number, got true"),
        ({"value": "97.1"}, "rate: value must be a finite number, got '97.1'"),
        ({"value": None}, "got nothing"),
        ({"value": 0.9, "lower": 0.95, "confidence": 0.95}, "rate is 0.9, outside its own interval 0.95 to ..."),
        ({"value": 0.9, "upper": 0.8, "confidence": 0.95}, "outside its own interval ... to 0.8"),
        ({"value": 0.9, "lower": 0.8}, "has an interval without confidence"),
        ({"value": 0.9, "confidence": 0.9}, "has a confidence, but neither lower nor upper"),
        ({"value": 0.9, "lower": 0.8, "confidence": 95}, "confidence must be from 50 % to below 100 %"),
        ({"value": 0.9, "lower": 0.8, "confidence": 1}, "confidence must be from 50 % to below 100 %"),
        ({"value": 0.9, "n": 0}, "rests on n = 0"),
        ({"value": 0.9, "n": -5}, "n must be a whole number that is not negative, got -5"),
        ({"value": 0.9, "n": 1000.5}, "n must be a whole number"),
        ({"value": 0.9, "trials": 10}, "trials cannot stand beside value"),
        ({"value": 0.9, "uper": 1}, "unknown key 'uper'. Did you mean 'upper'"),
        ({"successes": 9}, "has successes without trials"),
        ({"successes": 0, "trials": 0}, "rests on no trial"),
        ({"successes": 11, "trials": 10}, "has 11 successes in 10 trials"),
        ({"successes": -1, "trials": 10}, "successes must be a whole number that is not negative"),
        ({"successes": 9.0, "trials": 10}, "successes must be a whole number"),
        ({"successes": 9, "trials": 10, "effective_trials": 11}, "effective_trials must lie above 0 and at most at 10"),
        ({"successes": 9, "trials": 10, "effective_trials": 0}, "effective_trials must lie above 0"),
        ({"successes": 9, "trials": 10, "unit": "%"}, "is a rate of counts and has no unit: drop '%'"),
        ({"samples": [], "statistic": "p95"}, "samples must be a list of numbers that is not empty, got a list"),
        ({"samples": [1, None], "statistic": "p95"}, "samples must hold finite numbers only"),
        ({"samples": [1, "2"], "statistic": "p95"}, "samples must hold finite numbers only"),
        ({"samples": [1, 2]}, "has samples without statistic"),
        ({"samples": [1, 2], "statistic": "p20"}, "statistic must be mean, median, min, max or a percentile"),
        ({"samples": [1, 2], "statistic": "p100"}, "statistic must be mean, median, min, max or a percentile"),
        ({"samples": "latency", "statistic": "p95"}, "there is no series 'latency'. None are known here"),
        (7, "rate must hold names and values, got 7"),
    ],
)
def test_a_quantity_that_cannot_be_is_refused(tmp_path, quantity, message):
    """Each impossible quantity is one error that names it."""
    record = {**HEAD, "quantities": {"rate": quantity}}
    with pytest.raises(InputError, match=f"bench.json: .*{message}"):
        read(tmp_path, record)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mle_record": 2}, "mle_record must be 1, the only version"),
        ({"mle_record": True}, "mle_record must be 1"),
        ({"measured_at": "2026-01-04"}, "measured_at must be a time with date and zone"),
        ({"measured_at": "2026-01-04T12:30:00"}, "measured_at must be a time with date and zone"),
        ({"measured_at": 1767526200}, "measured_at must be a time with date and zone"),
        ({"measured_by": " "}, "measured_by must be text"),
        ({"tool": None}, "tool must be text"),
        ({"hardware": "Jetson"}, "hardware must hold names and values"),
        ({"model_sha256": "abc"}, "model_sha256 must be a SHA-256 of 64 hexadecimal digits"),
        ({"dataset_sha256": {}}, "dataset_sha256 must be a SHA-256 of 64 hexadecimal digits"),
        ({"quantities": {}}, "record bench has no quantity"),
        ({"quantities": []}, "quantities must hold names and values"),
        ({"quantities": {"a b": {"value": 1}}}, "'a b' is no name of a quantity"),
        ({"model_sha": "a" * 64}, "unknown key 'model_sha'. Did you mean 'model_sha256'"),
        ({"series": {"latency": {"unit": "ms", "values": []}}}, "series latency: values must be a list"),
        ({"series": {"latency": {"unit": "ms"}}}, "series latency has no values"),
    ],
)
def test_a_head_that_cannot_be_is_refused(tmp_path, change, message):
    """Who, when, with what and on what are told in their types."""
    with pytest.raises(InputError, match=f"bench.json: .*{message}"):
        read(tmp_path, {**HEAD, "quantities": QUANTITIES, **change})


@pytest.mark.parametrize("key", ["mle_record", "measured_at", "measured_by", "tool", "quantities"])
def test_a_head_that_lacks_something_is_refused(tmp_path, key):
    """A record without version, time, person, tool or quantities is none."""
    record = {**HEAD, "quantities": QUANTITIES}
    del record[key]
    with pytest.raises(InputError, match=f"record bench has no {key}"):
        read(tmp_path, record)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("b.json", "", "record bench is empty"),
        ("b.json", json.dumps({**HEAD, "quantities": QUANTITIES})[:-9], "b.json:1: not valid JSON, or cut off"),
        ("b.json", '{"mle_record": 1, "mle_record": 1}', "'mle_record' stands there twice"),
        ("b.json", '{"quantities": {"rate": {"value": NaN}}}', "NaN is no number"),
        ("b.json", '{"quantities": {"rate": {"value": -Infinity}}}', "-Infinity is no number"),
        ("b.json", json.dumps(with_quantity(value=1)).replace('"value": 1', '"value": 1e999'), "must be a finite"),
        ("b.json", json.dumps(with_quantity(value=1)).replace('"value": 1', f'"value": 1{"0" * 400}'), "a finite"),
        ("b.json", f'{{"a": 1{"0" * 5000}}}', "not readable: Exceeds the limit"),
        ("b.json", "[" * 200_000, "nests too deeply"),
        ("b.json", "[1]", "record bench must hold names and values, got a list"),
        ("b.json", b"\xff\xfe", "is not UTF-8 text: byte 0"),
        ("b.jsonl", json_lines()[:-9], "b.jsonl:5: not valid JSON, or cut off"),
        ("b.jsonl", json_lines() + json_lines().split("\n")[1], "b.jsonl:6: 'latency_p95' stands there twice"),
        ("b.jsonl", json.dumps(HEAD) + '\n{"unit": "ms"}', "b.jsonl:2: each line .* must name its quantity or series"),
        ("b.jsonl", json.dumps(HEAD) + "\n[1]", "b.jsonl:2: each line must be an object"),
        ("b.jsonl", json.dumps({**HEAD, "quantities": 3}) + '\n{"quantity": "a"}', "must hold names and values"),
        ("b.jsonl", json.dumps(HEAD) + '\n{"quantity": 3}', "b.jsonl:2: quantity must be a name, got 3"),
        ("b.jsonl", json.dumps(HEAD) + '\n{"quantity": "a", "value": "x"}', "b.jsonl:2: a: value must be a finite"),
        ("b.csv", CSV.format(digest="a" * 64)[:-5], "b.csv:12: the last line has no end: the file is cut off"),
        ("b.csv", CSV.format(digest="a" * 64) + "crashes,,,,,,,,,0,,\n", "b.csv:13: 'crashes' stands there twice"),
        ("b.csv", CSV.format(digest="a" * 64) + "x,1\n", "b.csv:13: 2 cells, but 12 columns"),
        ("b.csv", CSV.format(digest="a" * 64).replace("upper", "uper"), "unknown or repeated column 'uper'"),
        ("b.csv", CSV.format(digest="a" * 64).replace("upper", "value"), "unknown or repeated column 'value'"),
        ("b.csv", CSV.format(digest="a" * 64).replace("18.9", "18,9"), "b.csv:9: 13 cells, but 12 columns"),
        ("b.csv", CSV.format(digest="a" * 64).replace("18.9", "nan"), "b.csv:9: latency_p95: value must be a finite"),
        ("b.csv", CSV.format(digest="a" * 64).replace("18.5", "NaN"), "samples must hold finite numbers only"),
        (
            "b.csv",
            "# tool\n" + CSV.format(digest="a" * 64),
            "b.csv:1: lines above the table are written '# key: value'",
        ),
        ("b.csv", "# mle_record: 1\n" + CSV.format(digest="a" * 64), "b.csv:2: 'mle_record' stands there twice"),
        ("b.csv", "\n", "record bench is empty"),
        ("b.csv", "# mle_record: 1\n", "the first row must name the columns"),
        ("b.xml", "<a/>", r"cannot read .xml. Allowed: .json, .jsonl, .csv"),
    ],
)
def test_what_cannot_be_read_says_where(tmp_path, file, text, message):
    """Each bad file gives one error with its name, and the line where there is one."""
    with pytest.raises(InputError, match=message):
        read(tmp_path, text, file)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pth": "x"}, "unknown option 'pth'. Did you mean 'path'"),
        ({"path": 3}, "'path' must name its file, got 3"),
        ({"hardware": "Jetson"}, "'hardware' must hold names and values"),
        ({"valid_for": 90}, "'valid_for' needs a unit of time"),
        ({"unidentified": "accepted"}, "'unidentified' says why a digest is missing"),
        ({"unidentified": {"modle": "x"}}, "'unidentified' has no 'modle'. Did you mean 'model'"),
        ({"unidentified": {"model": True}}, "'unidentified' needs a reason for model, got True"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, message):
    """An entry of the spec is checked before its file is looked at."""
    with pytest.raises(InputError, match=message):
        read_record("bench", {"path": "none.json", **options}, tmp_path)


def test_a_file_that_is_absent_or_outside_is_refused(tmp_path):
    """An absent file says so; one outside the spec's folder needs to be granted."""
    with pytest.raises(InputError, match=r"cannot read none.json: No such file"):
        read_record("bench", {"path": "none.json"}, tmp_path)
    (tmp_path / "spec").mkdir()
    with pytest.raises(TrustError, match="--mle-data-root="):
        read_record("bench", {"path": "../b.json"}, tmp_path / "spec")

"""Writing: whole files, clear errors, nothing stale."""

from __future__ import annotations

import json
import resource

import pytest

from pytest_mle.errors import MleError
from pytest_mle.records.result import result_to_json
from pytest_mle.reports.files import append_result, prepare_folder, write_atomically, write_reports
from pytest_mle.reports.run_report import report_from_json


def test_everything_is_written(tmp_path, every_verdict):
    """results.json and a JUnit file per base practice are there, and the data reads back."""
    folder = tmp_path / "deep" / "reports"
    written = write_reports(every_verdict, folder)
    assert sorted(path.relative_to(folder).as_posix() for path in written) == [
        "junit/TEST-MLE.1.BP1.xml",
        "junit/TEST-MLE.4.BP3.xml",
        "junit/TEST-MLE.4.BP7.xml",
        "junit/TEST-MLE.5.BP1.xml",
        "results.json",
    ]
    assert report_from_json(json.loads((folder / "results.json").read_bytes())) == every_verdict
    assert not [path for path in folder.rglob("*") if path.is_file() and path not in written]


def test_stale_files_of_ours_are_removed(tmp_path, make_item, make_report, every_verdict):
    """A base practice of an earlier run is not shown again; Maven's files of the same kind of name stay."""
    write_reports(every_verdict, tmp_path)
    foreign = tmp_path / "junit" / "TEST-com.example.Test.xml"
    foreign.write_text('<testsuite name="com.example.Test"/>')
    write_reports(make_report(make_item("a"), processes=()), tmp_path)
    assert sorted(path.name for path in (tmp_path / "junit").iterdir()) == ["TEST-MLE.4.BP3.xml", foreign.name]


def test_prepared_folder_has_no_old_results(tmp_path, every_verdict):
    """A run that crashes after its start leaves no report of an earlier one."""
    write_reports(every_verdict, tmp_path)
    prepare_folder(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["partial.jsonl"]
    assert (tmp_path / "partial.jsonl").read_bytes() == b""


def test_finished_items_survive(tmp_path, make_item):
    """Each finished item is a line of strict JSON at once, whatever its values and names."""
    prepare_folder(tmp_path)
    append_result(tmp_path, result_to_json(make_item("a", duration_s=float("nan"))))
    append_result(tmp_path, result_to_json(make_item("b\udcff")))
    lines = (tmp_path / "partial.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line, parse_constant=pytest.fail)["name"] for line in lines] == ["a", "b\\udcff"]


def test_partial_results_go_when_the_report_is_there(tmp_path, every_verdict):
    """After the report is written, nothing partial is left to be mistaken for it."""
    prepare_folder(tmp_path)
    write_reports(every_verdict, tmp_path)
    assert not (tmp_path / "partial.jsonl").exists()


def test_folder_that_is_a_file_is_told(tmp_path, every_verdict):
    """A report folder that cannot be made is one clear error that names path, reason and option."""
    (tmp_path / "reports").write_text("")
    for attempt in (prepare_folder, lambda folder: write_reports(every_verdict, folder)):
        with pytest.raises(MleError, match=r"cannot write .*reports: .+\. Choose another folder with --mle-report-dir"):
            attempt(tmp_path / "reports")


def test_full_disk_is_told(tmp_path):
    """A disk that fills up during the run is told with the file and the reason."""
    (tmp_path / "partial.jsonl").symlink_to("/dev/full")
    with pytest.raises(MleError, match=r"cannot write .*partial\.jsonl: No space left on device"):
        append_result(tmp_path, {"name": "a"})


def test_file_that_cannot_be_finished_leaves_nothing(tmp_path):
    """A write that breaks off in the middle keeps the old file and leaves no half one."""
    target = tmp_path / "results.json"
    target.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(MleError, match=r"cannot write .*results\.json: File too large"):
            write_atomically(target, b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert target.read_bytes() == b"old"


def test_failed_write_keeps_the_old_file(tmp_path):
    """What cannot be replaced stays as it was, and no temporary file is left."""
    target = tmp_path / "results.json"
    target.mkdir()
    with pytest.raises(MleError, match=r"results\.json"):
        write_atomically(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_reader_of_the_old_file_keeps_it(tmp_path):
    """Whoever has the old file open reads it to its end, while the new one takes its place."""
    target = tmp_path / "results.json"
    target.write_bytes(b"old")
    with target.open("rb") as reader:
        write_atomically(target, b"new content")
        assert reader.read() == b"old"
    assert target.read_bytes() == b"new content"


def test_files_are_readable_by_others(tmp_path):
    """A CI runner under another user can collect the reports."""
    write_atomically(tmp_path / "a", b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode

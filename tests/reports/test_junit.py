"""JUnit files: what each verdict looks like, and that every reader survives hostile names."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from junitparser import JUnitXml

from pytest_mle.records.finding import Finding, Findings
from pytest_mle.records.result import QuantityResult
from pytest_mle.records.verdict import Verdict
from pytest_mle.reports import junit
from pytest_mle.reports.junit import junit_files
from pytest_mle.reports.run_report import report_from_json, report_to_json

# Attributes and children that jenkinsci/xunit-plugin's junit-10.xsd allows; file, line and the properties of a
# testcase are the ones beyond it, which the other readers want.
XSD_ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp", "hostname", "id"}
    | {"package", "file", "log", "url"},
    "testcase": {"name", "time", "classname", "group"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "skipped": {"type", "message"},
    "property": {"name", "value"},
    "properties": set(),
    "system-out": set(),
}
XSD_REQUIRED = {"testsuite": {"name", "tests", "failures", "errors"}, "testcase": {"name"}}
XSD_CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testsuite", "properties", "testcase", "system-out", "system-err"},
    "testcase": {"skipped", "error", "failure", "system-out", "system-err"},
    "properties": {"property"},
}
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


def assert_every_reader_survives(files: dict[str, bytes], gitlab) -> list:
    """Parse files by ElementTree, junitparser and GitLab's rules, check them against junit-10.xsd and for identity."""
    for content in files.values():
        root = ET.fromstring(content)
        assert len(root) == 1
        for case in root.iter("testcase"):
            assert len(case.findall("system-out")) <= 1
            assert len([child for child in case if child.tag in ("failure", "error", "skipped")]) <= 1
            case.remove(case.find("properties"))
            for name in ("file", "line"):
                case.attrib.pop(name, None)
        for element in root.iter():
            assert set(element.attrib) <= XSD_ATTRIBUTES[element.tag]
            assert set(element.attrib) >= XSD_REQUIRED.get(element.tag, set())
            assert {child.tag for child in element} <= XSD_CHILDREN.get(element.tag, set())
        suite = root[0]
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        assert int(suite.get("failures")) == sum(case.find("failure") is not None for case in cases)
        assert int(suite.get("errors")) == sum(case.find("error") is not None for case in cases)
        assert int(suite.get("skipped")) == sum(case.find("skipped") is not None for case in cases)
        (read,) = JUnitXml.fromstring(content)
        assert [case.name for case in read] == [case.get("name") for case in cases]
    shown = gitlab(files)
    keys = [case.key for case in shown]
    assert len(set(keys)) == len(keys)
    return shown


def cases_of(report) -> dict[str, ET.Element]:
    """Return the testcases of all files by name."""
    roots = [ET.fromstring(content) for content in junit_files(report).values()]
    return {case.get("name"): case for root in roots for case in root.iter("testcase")}


def properties_of(case: ET.Element) -> dict[str, str]:
    """Return the properties of a testcase."""
    return {one.get("name"): one.get("value") for one in case.iter("property")}


def test_one_file_per_base_practice(every_verdict, golden):
    """Each base practice has a file of its name, equal to the golden one."""
    files = junit_files(every_verdict)
    assert list(files) == ["TEST-MLE.1.BP1.xml", "TEST-MLE.4.BP3.xml", "TEST-MLE.4.BP7.xml", "TEST-MLE.5.BP1.xml"]
    for name, content in files.items():
        golden(name, content.decode("utf-8"))


def test_readers_survive_every_verdict(every_verdict, gitlab):
    """GitLab, junitparser and the schema of Jenkins' xunit plugin take every verdict."""
    shown = assert_every_reader_survives(junit_files(every_verdict), gitlab)
    assert [(case.name, case.status) for case in shown] == [
        ("MLE1-2-PENDING", "failure"),
        ("MLE4-0-PASS", "success"),
        ("MLE4-1-WARNING", "success"),
        ("MLE4-3-INCONCLUSIVE[rain]", "failure"),
        ("MLE4-4-FAIL", "failure"),
        ("MLE4-6-WAIVED", "skipped"),
        ("MLE4-7-NA", "skipped"),
        ("MLE4-8-WEAK", "success"),
        ("completeness", "failure"),
        ("MLE5-5-ERROR", "error"),
    ]
    assert {case.classname for case in shown} == {"MLE.1.BP1", "MLE.4.BP3", "MLE.4.BP7", "extension.MLE.5.BP1"}
    assert {case.file for case in shown} == {"specs/mle.yaml"}


@pytest.mark.parametrize(
    ("verdict", "tag", "kind"),
    [
        (Verdict.PENDING, "failure", "mle.pending"),
        (Verdict.INCONCLUSIVE, "failure", "mle.inconclusive"),
        (Verdict.FAIL, "failure", "mle.criterion"),
        (Verdict.ERROR, "error", "mle.error"),
        (Verdict.WAIVED, "skipped", "mle.waived"),
        (Verdict.NOT_APPLICABLE, "skipped", "mle.not_applicable"),
    ],
)
def test_verdict_has_its_element_and_type(make_item, make_report, verdict, tag, kind):
    """Each verdict becomes the element that the design names, with the reason as message and as text."""
    case = cases_of(make_report(make_item("a", verdict, reasons=("because",))))["a"]
    result = case.find(tag)
    assert result.get("type") == kind
    assert result.get("message") == f"{verdict.value}: because"
    assert result.text.startswith(f"{verdict.value}: because\n")


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.WARNING])
def test_green_verdicts_have_no_result_element(make_item, make_report, verdict):
    """PASS and WARNING are plain testcases."""
    case = cases_of(make_report(make_item("a", verdict, reasons=("because",))))["a"]
    assert [child.tag for child in case if child.tag != "properties"] == ["system-out"]


def test_not_selected_is_left_out(make_item, make_report):
    """A deselected item has no testcase, and a base practice of deselected items has no file."""
    report = make_report(make_item("a"), make_item("b", Verdict.NOT_SELECTED, base_practice="MLE.1.BP1"))
    assert list(junit_files(report)) == ["TEST-MLE.4.BP3.xml"]


def test_decision_stands_in_what_gitlab_shows(every_verdict, gitlab):
    """A reader of GitLab's dialog sees criterion, value, deciding bound, n, offenders, line and command."""
    (fail,) = [case for case in gitlab(junit_files(every_verdict)) if case.name == "MLE4-4-FAIL"]
    for told in (
        "fgsm_accuracy >= 80 % at 95 % confidence: FAIL",
        "measured 75.3 %, decided by 95 % upper bound 78.3 % (Clopper-Pearson), n = 1812",
        "misclassified: 30 found",
        "data/test/0000.jpg: confidence 0.99 as background",
        "... and 10 more",
        "overridden by the project",
        "spec: specs/mle.yaml:42",
        "reproduce: pytest --mle-spec=specs/mle.yaml -k MLE4-4-FAIL",
    ):
        assert told in fail.output


def test_missing_base_practice_is_shown_in_a_file(make_item, make_report):
    """Green items alone do not hide that a claimed base practice has none; a red item of it says enough."""
    case = cases_of(make_report(make_item("a")))["completeness"]
    assert case.get("classname") == "MLE.4.BP7"
    assert case.find("failure").get("type") == "mle.pending"
    red = make_report(make_item("a"), make_item("b", Verdict.PENDING, base_practice="MLE.4.BP7"))
    assert "completeness" not in cases_of(red)


def test_properties_for_test_management(every_verdict):
    """Xray, S-CORE and our own properties carry requirements, digests and full-precision values."""
    found = properties_of(cases_of(every_verdict)["MLE4-0-PASS"])
    assert found["requirements"] == "MLE-REQ-008,MLE-REQ-009,MLE-REQ-010"
    assert found["FullyVerifies"] == "MLE-REQ-008"
    assert found["PartiallyVerifies"] == "MLE-REQ-009, MLE-REQ-010"
    assert found["TestType"] == "fault-injection"
    assert found["DerivationTechnique"] == "error-guessing"
    assert found["Description"] == "FGSM robustness"
    assert found["mle.measure.fgsm_accuracy"] == "0.753"
    assert found["mle.measure.fgsm_accuracy.ci_low"] == "0.721"
    assert found["mle.measure.fgsm_accuracy.n"] == "1812"
    assert found["mle.input.model.sha256"] == "ef" * 32
    assert found["mle.spec.sha256"] == "ab" * 32


def test_evidence_is_no_test_for_s_core(make_item, make_report):
    """A review of a document that verifies a requirement claims no test type."""
    item = make_item("a", kind="evidence", verifies=("R-1",))
    found = properties_of(cases_of(make_report(item))["a"])
    assert found["requirements"] == "R-1"
    assert "TestType" not in found
    assert "FullyVerifies" not in found


def test_partly_verified_is_not_fully_verified(make_item, make_report):
    """A requirement that is named as partially verified is not claimed in full as well."""
    item = make_item("a", verifies=("R-1",), partially_verifies=("R-1",))
    found = properties_of(cases_of(make_report(item))["a"])
    assert found["PartiallyVerifies"] == "R-1"
    assert "FullyVerifies" not in found


def test_extension_is_marked(every_verdict):
    """MLE.5 is marked as no part of Automotive SPICE in classname, text and properties."""
    case = cases_of(every_verdict)["MLE5-5-ERROR"]
    assert case.get("classname") == "extension.MLE.5.BP1"
    assert "extension, not part of Automotive SPICE 4.0" in case.find("error").text
    assert properties_of(case)["mle.extension_bp"] == "MLE.5.BP1"


def test_same_report_from_json(every_verdict):
    """JUnit files are made from the data of results.json alone."""
    assert junit_files(report_from_json(report_to_json(every_verdict))) == junit_files(every_verdict)


def test_several_specs_have_names_of_their_own(make_item, make_report, gitlab):
    """Two specs with the same items give different files and identities, also where their file names are equal."""
    spec = make_report(make_item("a")).specs[0]
    paths = ["cars/mle.yaml", "trucks/mle.yaml"]
    report = replace(make_report(), specs=tuple(replace(spec, path=path) for path in paths))
    files = junit_files(report)
    assert "TEST-cars-mle.MLE.4.BP3.xml" in files
    assert "TEST-trucks-mle.MLE.4.BP3.xml" in files
    shown = assert_every_reader_survives(files, gitlab)
    assert "trucks-mle.MLE.4.BP3" in {case.classname for case in shown}


def test_labels_stay_apart_where_case_does_not(make_item, make_report):
    """Specs whose paths a file system without case takes for one still have files of their own."""
    spec = make_report(make_item("a")).specs[0]
    report = replace(make_report(), specs=tuple(replace(spec, path=path) for path in ("a/x.yaml", "A/x.yaml")))
    names = list(junit_files(report))
    assert len({name.casefold() for name in names}) == len(names) == 4


def test_thousands_of_quantities_are_counted_not_listed(make_item, make_report):
    """Properties of a result with a quantity per class stay readable, and say that there are more."""
    quantities = tuple(QuantityResult(f"ap_{n}", 0.5, "1", "estimate") for n in range(1000))
    found = properties_of(cases_of(make_report(make_item("a", quantities=quantities)))["a"])
    assert found["mle.measures_left_out"] == "800 more in results.json"
    assert "mle.measure.ap_200" not in found


def test_unreadable_start_leaves_the_timestamp_out(make_item, make_report):
    """A moment that is none is not invented."""
    content = junit_files(make_report(make_item("a"), started="yesterday"))["TEST-MLE.4.BP3.xml"]
    assert ET.fromstring(content)[0].get("timestamp") is None


def test_timestamp_is_utc_without_zone(every_verdict):
    """Azure and the strict schemas read no zone."""
    for content in junit_files(every_verdict).values():
        assert ET.fromstring(content)[0].get("timestamp") == "2026-01-04T10:00:00"


@pytest.mark.parametrize(
    "path",
    [
        "pytest_mle/spec/checklists/aspice-mle/mle4.yaml",
        "/usr/lib/checklists/mle.yaml",
        "../other/mle.yaml",
        "C:\\spec\\mle.yaml",
        "",
    ],
)
def test_file_is_inside_the_repository(make_item, make_report, path):
    """A place outside the repository gives no link that leads nowhere: the spec is named, without a wrong line."""
    case = cases_of(make_report(make_item("a", path=path)))["a"]
    assert case.get("file") == "specs/mle.yaml"
    assert case.get("line") is None


def test_attachment_tag_from_data_is_no_link(make_item, make_report, gitlab):
    """A quantity named like GitLab's attachment tag does not become a link."""
    hostile = QuantityResult("[[ATTACHMENT|../../secret]]", 1.0, "1", "exact")
    report = make_report(make_item("a", Verdict.FAIL, quantities=(hostile,)))
    assert [case.attachment for case in gitlab(junit_files(report)) if case.name == "a"] == [None]


def test_text_is_cut_with_what_is_left_out(make_item, make_report):
    """Endless findings and reasons do not fill the file, and the text says that something is missing."""
    flood = Findings.collect("broken", (Finding("x" * 5000, path=f"{n}.jpg") for n in range(50)))
    case = cases_of(make_report(make_item("a", Verdict.FAIL, findings=(flood,), reasons=("y" * 100_000,))))["a"]
    text = case.find("failure").text
    assert len(text) <= 32_100
    assert "see results.json" in text
    assert len(case.find("failure").get("message")) <= 500


def test_large_file_is_split(make_item, make_report, gitlab, monkeypatch):
    """What GitLab would refuse comes in parts, with all items and no name twice."""
    monkeypatch.setattr(junit, "FILE_LIMIT", 20_000)
    report = make_report(*(make_item(f"item-{n}", Verdict.FAIL, reasons=("z" * 2000,)) for n in range(30)))
    files = junit_files(report)
    assert max(map(len, files.values())) <= 20_000
    assert "TEST-MLE.4.BP3.part2.xml" in files
    shown = assert_every_reader_survives(files, gitlab)
    assert [case.name for case in shown if case.classname == "MLE.4.BP3"] == [f"item-{n}" for n in range(30)]


def test_long_names_stay_different(make_item, make_report, gitlab):
    """Names of 10,000 characters that differ at the end are cut and stay apart."""
    items = [make_item("n" * 10_000 + end) for end in "ab"]
    shown = assert_every_reader_survives(junit_files(make_report(*items)), gitlab)
    names = [case.name for case in shown if case.name.startswith("n")]
    assert len(set(names)) == 2
    assert all(len(name) <= 200 for name in names)


def test_names_that_escape_alike_stay_different(make_item, make_report, gitlab):
    """A control character and its visible form are two test cases; an item named like our own case is none of ours."""
    report = make_report(*(make_item(name) for name in ("a\x00", "a#x00", "completeness", "a\n", "a ")))
    assert len(assert_every_reader_survives(junit_files(report), gitlab)) == 6


def test_results_of_equal_name_are_both_shown(make_item, make_report, gitlab):
    """GitLab would keep the last of two equal names: a failure behind a pass of the same name stays visible."""
    report = make_report(make_item("a", Verdict.FAIL), make_item("a"))
    shown = assert_every_reader_survives(junit_files(report), gitlab)
    assert [case.status for case in shown if case.name.startswith("a")] == ["failure", "success"]


def test_path_in_a_base_practice_stays_in_the_folder(make_item, make_report):
    """The id of a base practice cannot lead out of the report folder."""
    items = [make_item("a", base_practice="../../etc/x"), make_item("b", base_practice="mle.4.bp3"), make_item("c")]
    files = list(junit_files(make_report(*items, processes=())))
    assert not any("/" in name for name in files)
    assert len({name.casefold() for name in files}) == 3


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.sampled_from(Verdict)), max_size=6, unique_by=lambda t: t[0])
)
def test_hostile_names_survive(make_item, make_report, gitlab, hostile):
    """Any text in names, titles, reasons, findings, quantities and base practices is read by every reader."""
    items = [
        make_item(
            name,
            verdict,
            title=title,
            base_practice=text,
            path=text,
            reasons=(text,),
            findings=(Findings("kind", 1, (Finding(text, subject=title),)),),
            quantities=(QuantityResult(text, float("inf"), "1", "estimate", float("nan"), 1.0),),
            parameters={title: text},
            verifies=(text,),
            node_id=name,
        )
        for name, title, text, verdict in hostile
    ]
    shown = assert_every_reader_survives(junit_files(make_report(*items)), gitlab)
    selected = sum(verdict is not Verdict.NOT_SELECTED for *_, verdict in hostile)
    assert len([case for case in shown if case.name != "completeness"]) == selected

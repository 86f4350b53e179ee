"""The summary on the terminal."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.records.finding import Finding, Findings
from pytest_mle.records.verdict import Verdict
from pytest_mle.reports.terminal import plain_text, summary_lines

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)


@pytest.mark.parametrize("width", [80, 120])
def test_summary_equals_golden(every_verdict, golden, width):
    """The summary of a run with every verdict, as a person reads it."""
    golden(
        f"summary_{width}.txt",
        plain_text(
            summary_lines(every_verdict, width=width, written=["mle-reports/results.json", "mle-reports/junit/"])
        ),
    )


def test_styles_follow_the_verdicts(every_verdict):
    """Base practices with red items are red, and each red item's first line is red."""
    styles = {line.text.split()[0]: line.style for line in summary_lines(every_verdict) if line.text}
    assert styles["MLE.4.BP3"] == "red"
    assert styles["FAIL"] == "red"
    assert styles["WARNING"] == "yellow"


def test_green_run_ends_green(make_item, make_report):
    """A green run says so in one line, and where the reports are."""
    report = make_report(make_item("a"), make_item("b", base_practice="MLE.4.BP7"))
    *_, gate, reports = summary_lines(report, written=["out"])
    assert gate == ("gate: GREEN, 2 items selected, none is red", "green")
    assert reports == ("reports: out", "dim")


def test_red_item_tells_the_decision(every_verdict):
    """The block of a failed item has criterion, value, deciding bound, n, three offenders and the line."""
    text = plain_text(summary_lines(every_verdict, width=120))
    block = text[text.index("FAIL  MLE4-4-FAIL") :].split("\n\n")[0]
    assert block.splitlines() == [
        "FAIL  MLE4-4-FAIL  FGSM robustness",
        "    fgsm_accuracy >= 80 % at 95 % confidence",
        "      measured 75.3 %, decided by 95 % upper bound 78.3 % (Clopper-Pearson), n = 1812",
        "    misclassified: 30 found",
        "      data/test/0000.jpg: confidence 0.99 as background",
        "      data/test/0001.jpg: confidence 0.99 as background",
        "      data/test/0002.jpg: confidence 0.99 as background",
        "      ... and 27 more",
        "    specs/mle.yaml:42",
    ]


def test_pending_takes_one_line_an_item(make_item, make_report):
    """An empty repository owes 150 items: one line each, none of them a block."""
    items = [
        make_item(f"MLE4-{n:03}", Verdict.PENDING, title=f"Item {n}", reasons=(f"not addressed: needs check {n}",))
        for n in range(150)
    ]
    lines = summary_lines(make_report(*items))
    assert len(lines) < 165
    assert ("PENDING  MLE.4.BP3  not addressed", "red") in lines
    assert ("  MLE4-007  Item 7    needs check 7", "") in lines


def test_traceback_takes_four_lines(make_item, make_report):
    """A long reason is cut after four lines, and the cut is said."""
    reason = "\n".join(f"line {n}" for n in range(40))
    text = plain_text(summary_lines(make_report(make_item("a", Verdict.ERROR, reasons=(reason,)))))
    assert "    line 3\n    ... 36 more lines in results.json\n" in text
    assert "line 4" not in text


def test_not_selected_is_told(make_item, make_report):
    """A partial run says that completeness was not judged."""
    text = plain_text(summary_lines(make_report(make_item("a"), make_item("b", Verdict.NOT_SELECTED))))
    assert "1 item not selected: whether every base practice is shown was not judged" in " ".join(text.split())


def test_wide_characters_keep_columns_aligned(make_item, make_report):
    """A Japanese title takes two columns a character, and the counts stay below each other."""
    report = make_report(make_item("a"))
    practices = tuple(replace(one, title="機械学習" * 20) for one in report.specs[0].base_practices)
    wide = replace(report, specs=(replace(report.specs[0], base_practices=practices),))
    text = plain_text(summary_lines(wide)).splitlines()[1]
    cells = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
    assert text.endswith("  1 PASS")
    assert cells <= 80


@settings(max_examples=60, deadline=None)
@given(ANY_TEXT, ANY_TEXT, st.sampled_from(Verdict), st.integers(0, 130))
def test_hostile_names_reach_no_terminal(make_item, make_report, name, text, verdict, width):
    """No name, title, reason or finding can steer the terminal or break the layout's width."""
    item = make_item(
        name,
        verdict,
        title=text,
        base_practice=text,
        path=text,
        reasons=(text,),
        findings=(Findings("k", 1, (Finding(text),)),),
    )
    for line in summary_lines(make_report(item), width=width):
        line.text.encode("utf-8")
        assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in line.text)
        assert line.style in ("green", "red", "yellow", "bold", "dim", "")


def test_a_few_pending_items_are_told_in_full(make_item, make_report):
    """Where a project owes little, a person reads what it owes and need not open a file."""
    owed = "evidence owed: record of the visual inspection of the contact sheet (ML engineer, data lead)"
    items = [make_item(f"MLE3-{n:03}", Verdict.PENDING, title="Augmentation", reasons=(owed,)) for n in range(12)]
    told = " ".join(plain_text(summary_lines(make_report(*items))).split())
    assert told.count(owed) == 12
    assert owed not in " ".join(plain_text(summary_lines(make_report(*items, items[0]))).split())

"""Overlays: what lies on top wins, key by key, and every key remembers where it was set."""

from __future__ import annotations

import pytest

from pytest_mle.errors import CollectedSpecError

CHECKLIST = """\
mle_checklist: 1
title: Checklist of a company
processes: [{id: MLE.5, title: Model deployment}]
base_practices: [{id: MLE.5.BP1, title: Deployment preparation}]
items:
  - id: C-1
    title: From the checklist
    base_practice: MLE.4.BP3
    check: detector
    with: {runs: 3, epsilon: 0.1}
    accept:
      - {criterion: map_50 >= 90 %, origin: handbook}
      - {criterion: relative_drop <= 10 %, origin: proposed}
      - {criterion: latency_p95 <= 50 ms, origin: proposed, severity: advisory}
      - {criterion: false_negative_rate <= 5 %, origin: handbook_example, severity: advisory}
    advise: [{criterion: absolute_accuracy_drop <= 5 pp, origin: proposed}]
  - id: C-2
    base_practice: MLE.5.BP1
    check: not_written_yet
    needs: [registry]
    evidence_needed: {artifact: release plan, roles: [QA]}
    accept: [{criterion: open_points == 0, origin: handbook}]
    optional: true
  - id: C-3
    base_practice: MLE.3.BP1
    evidence_needed: {artifact: training approach, roles: [ML engineer]}
  - id: C-4
    base_practice: MLE.4.BP3
    check: detector
    with: {ruins: 3}
    accept: [{criterion: map_51 >= 90 %, origin: handbook}]
  - id: C-5
    base_practice: MLE.4.BP3
    check: detector
    with: {runs: 3}
    accept: [{criterion: relative_drop <= 10 %, origin: proposed}]
"""

INPUTS = """\
inputs:
  datasets: {test: {path: a}}
  models: {candidate: {path: b}}
"""


@pytest.fixture
def extend(write, load):
    """Load a spec on top of the checklist and return its items by name."""

    def load_items(body: str = "", *, adopt: str = "[]", inputs: str = INPUTS, processes: str = "") -> dict:
        write(CHECKLIST, "company.yaml")
        extends = f"extends: {{path: company.yaml, adopt: {adopt}}}\n"
        spec = load(write("mle_spec: 1\n" + extends + inputs + processes + body))
        return {item.name: item for item in spec.items}

    return load_items


def gating(item):
    """Return the texts of criteria that gate."""
    return [one.text for one in item.criteria if not one.is_advisory]


def test_mappings_merge_and_lists_replace(extend):
    """`with` keeps what the top does not mention; `accept` is the top's alone."""
    item = extend("items: [{id: C-1, with: {epsilon: 0.2}, accept: [map_50 >= 95 %]}]")["C-1"]
    assert item.parameters == {"runs": 3, "epsilon": 0.2}
    assert gating(item) == ["map_50 >= 95 %"]
    assert item.title == "From the checklist"


def test_accept_more_appends(extend):
    """`accept_more` keeps what the checklist asks for."""
    item = extend("items: [{id: C-1, accept_more: [image_count >= 100 images]}]")["C-1"]
    assert gating(item) == ["map_50 >= 90 %", "image_count >= 100 images"]


def test_every_key_remembers_where_it_was_set(extend):
    """`show` can tell the project's keys from the checklist's."""
    item = extend("items:\n  - id: C-1\n    with: {epsilon: 0.2}\n")["C-1"]
    assert str(item.location) == "spec.yaml:7"
    assert str(item.key_origins["check"]) == "company.yaml:9"
    assert str(item.key_origins["with.runs"]) == "company.yaml:10"
    assert str(item.key_origins["with.epsilon"]) == "spec.yaml:8"
    assert [str(one.location) for one in item.criteria][:2] == ["company.yaml:12", "company.yaml:13"]


def test_null_removes_an_inherited_key(extend):
    """As in JSON merge patches."""
    assert extend("items: [{id: C-1, with: {epsilon: null}}]")["C-1"].parameters == {"runs": 3}


def test_another_check_leaves_parameters_and_criteria_behind(extend):
    """What belongs to one check means nothing for another, and nothing is green without a new criterion."""
    item = extend("items: [{id: C-1, check: timing}]")["C-1"]
    assert (item.check, item.parameters, item.criteria) == ("timing", {}, ())
    assert item.pending_reasons == ("no criterion adopted",)


def test_proposed_criteria_only_advise(extend):
    """Handbook criteria gate unless marked advisory; proposed ones advise."""
    item = extend()["C-1"]
    assert gating(item) == ["map_50 >= 90 %"]
    assert len(item.criteria) == 5
    assert item.origin == "company"


@pytest.mark.parametrize(
    ("adopt", "expected"),
    [
        ("[C-1]", ["map_50 >= 90 %", "relative_drop <= 10 %"]),
        ("[all]", ["map_50 >= 90 %", "relative_drop <= 10 %"]),
        ("[C-1.relative_drop]", ["map_50 >= 90 %", "relative_drop <= 10 %"]),
        ("[C-1.latency_p95]", ["map_50 >= 90 %", "latency_p95 <= 50 ms"]),
        ("[C-1.absolute_accuracy_drop]", ["map_50 >= 90 %", "absolute_accuracy_drop <= 5 pp"]),
        ("[C-1.false_negative_rate]", ["map_50 >= 90 %"]),
    ],
)
def test_adopted_criteria_gate(extend, adopt, expected):
    """By item all that is not meant to advise; by quantity exactly that one; handbook's advice stays advice."""
    assert gating(extend(adopt=adopt)["C-1"]) == expected


def test_an_item_with_proposals_only_is_pending_until_adopted(extend):
    """Nothing gates by itself, and the reason says what could be adopted."""
    assert extend()["C-5"].pending_reasons == (
        "no criterion adopted; proposed: relative_drop <= 10 % (adopt: C-5.relative_drop)",
    )
    assert extend(adopt="[C-5]")["C-5"].pending_reasons == ()


def test_an_item_that_nobody_addressed_runs_where_it_can(extend):
    """Its check exists and its inputs are declared: the handbook's criteria decide."""
    assert extend()["C-1"].pending_reasons == ()


def test_an_item_that_nobody_addressed_says_what_it_needs(extend):
    """Check, inputs and evidence that are owed are named."""
    items = extend()
    assert items["C-2"].pending_reasons == (
        (
            "not addressed by the project yet: needs the check not_written_yet (does not exist yet), inputs (registry), "
            "evidence (release plan (QA)). The checklist calls it optional: close it with not_applicable and the reason"
        ),
    )
    assert items["C-3"].pending_reasons == (
        "not addressed by the project yet: needs evidence (training approach (ML engineer))",
    )
    assert extend(inputs="")["C-1"].pending_reasons == (
        (
            "not addressed by the project yet: needs the check detector (exists), inputs (no model is declared under "
            "inputs.models; no dataset is declared under inputs.datasets)"
        ),
    )


def test_a_checklist_that_does_not_fit_a_check_is_pending(extend):
    """The project cannot mend it, so it is no error; it is not green either."""
    for body in ("", "items: [{id: C-4}]"):
        (reason,) = extend(body)["C-4"].pending_reasons
        assert "does not fit the check" in reason
        assert "company.yaml:30: detector has no parameter 'ruins'. Did you mean 'runs'?" in reason
        assert "company.yaml:31: detector does not measure 'map_51'" in reason


def test_an_addressed_item_is_the_projects_own_business(extend):
    """Evidence that is attached is not owed any more, and an unknown check may be a fixture."""
    item = extend("items: [{id: C-2, evidence: [{file: plan.md, role: QA}]}]")["C-2"]
    assert item.pending_reasons == ()
    assert item.kind == "hybrid"


def test_evidence_that_is_owed_is_named(extend):
    """An addressed item that attaches none stays PENDING."""
    owed = extend("items: [{id: C-3, title: Ours}]")["C-3"]
    assert owed.evidence_owed == "evidence owed: training approach (ML engineer)"
    assert owed.pending_reasons == ()


def test_not_applicable_closes_an_item(extend):
    """The reason is kept, nothing is owed."""
    item = extend("items: [{id: C-2, not_applicable: We deploy nothing.}]")["C-2"]
    assert (item.not_applicable, item.pending_reasons) == ("We deploy nothing.", ())


def test_checklist_items_of_unclaimed_processes_are_left_out(extend):
    """What the project does not claim is not owed."""
    assert list(extend(processes="processes: [MLE.3]\n")) == ["C-3"]


def test_extensions_come_with_the_checklist(extend, load):
    """MLE.5 is not official, and its title is the checklist's."""
    extend()
    spec = load("spec.yaml")
    assert not spec.base_practices["MLE.5.BP1"].is_official
    assert spec.process_titles["MLE.5"] == "Model deployment"
    assert spec.base_practices["MLE.4.BP3"].is_official


def test_later_layers_win(write, load):
    """Base < middle < top, for sections, inputs, requirements and items alike."""
    write(
        "mle_spec: 1\nproject: {name: base, version: '1'}\npolicy: {seed: 1, confidence: 90 %}\n"
        "inputs: {datasets: {test: {path: base, format: yolo}}}\n"
        "requirements: [{id: R-1, text: Base., parent: S-1}]\n"
        "items:\n  - {id: X-1, title: base, base_practice: MLE.4.BP3, evidence: [{file: base.md}]}\n"
        "  - {id: X-2, base_practice: MLE.4.BP3, evidence: [{file: base.md}]}\n",
        "base.yaml",
    )
    write(
        "mle_spec: 1\nextends: base.yaml\npolicy: {seed: 2}\nrequirements: [{id: R-1, text: Middle.}]\n", "middle.yaml"
    )
    spec = load(
        write(
            "mle_spec: 1\nextends: [base.yaml, middle.yaml]\nproject: {name: top}\n"
            "inputs: {datasets: {test: {path: top}}}\nitems:\n  - {id: X-1, title: top}\n"
        )
    )
    assert (spec.project.name, spec.project.version) == ("top", "1")
    assert (spec.policy.seed, spec.policy.confidence) == (2, 0.9)
    assert spec.inputs["datasets"]["test"].options == {"path": "top", "format": "yolo"}
    assert (spec.requirements["R-1"].text, spec.requirements["R-1"].parents) == ("Middle.", ("S-1",))
    assert [(item.name, item.title) for item in spec.items] == [("X-1", "top"), ("X-2", "X-2")]
    assert list(spec.files) == ["spec.yaml", "base.yaml", "middle.yaml"]


def test_a_folder_of_a_company_is_a_checklist(write, load):
    """All its files are read, in the order of the index."""
    write("mle_checklist: 1\nfiles: [b.yaml, a.yaml]\n", "company/_index.yaml")
    for name in "ab":
        content = f"mle_checklist: 1\nitems: [{{id: {name}, base_practice: MLE.4.BP3, evidence_needed: plan}}]\n"
        write(content, f"company/{name}.yaml")
    spec = load(write("mle_spec: 1\nextends: ./company\n"))
    assert [(item.name, item.origin) for item in spec.items] == [("b", "company"), ("a", "company")]


def test_the_bundled_checklist_alone_is_a_spec(write, load):
    """Every official base practice of MLE and SUP.11 has an item, and all wait for the project."""
    spec = load(write("mle_spec: 1\nextends: aspice-mle\n"))
    assert len({item.item for item in spec.items}) == 156
    assert all(item.pending_reasons for item in spec.items)
    covered = {item.base_practice for item in spec.items}
    owed = {
        one.id for one in spec.base_practices.values() if one.process in ("MLE.1", "MLE.2", "MLE.3", "MLE.4", "SUP.11")
    }
    assert owed <= covered


def test_a_company_checklist_cannot_leave_the_folders_of_the_run(write, load, tmp_path):
    """A spec reads nothing outside its own folder and the folder pytest runs in."""
    outside = tmp_path.parent / f"{tmp_path.name}-outside.yaml"
    outside.write_text("mle_spec: 1\nitems: []\n", encoding="utf-8")
    inner = write(f"mle_spec: 1\nextends: ../{outside.name}\n")
    with pytest.raises(CollectedSpecError, match=r"spec\.yaml:2: .* lies outside the spec's folder"):
        load(inner)
    (tmp_path / "link.yaml").symlink_to(outside)
    with pytest.raises(CollectedSpecError, match="lies outside the spec's folder"):
        load(write("mle_spec: 1\nextends: ./link.yaml\n"))


def test_odd_paths_are_explained(write, load, tmp_path):
    """Links in a circle and names that no file system takes are one sentence each."""
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    long = "x" * 5000 + ".yaml"
    with pytest.raises(CollectedSpecError) as caught:
        load(write(f"mle_spec: 1\nextends: [./circle.yaml, ./{long}]\nrequirements: [{{from: {long}}}]\n"))
    messages = [str(error) for error in caught.value.errors]
    assert len(messages) == 3
    assert all("cannot be read: " in message or "does not exist" in message for message in messages)


def test_only_some_items_are_taken_over(write, load):
    """Patterns choose items; what they leave out is neither planned nor owed, and can be adopted no more."""
    write(CHECKLIST, "company.yaml")
    spec = load(write("mle_spec: 1\nextends: [{path: company.yaml, only: [C-1, C-?, C-3]}]\n"))
    assert {item.item for item in spec.items} == {f"C-{n}" for n in range(1, 6)}
    spec = load(write("mle_spec: 1\nextends: [{path: company.yaml, only: [C-1, C-3]}]\n"))
    assert [item.item for item in spec.items] == ["C-1", "C-3"]
    twice = "[{path: company.yaml, only: [C-1]}, {path: company.yaml, only: [C-5]}]"
    assert {item.item for item in load(write(f"mle_spec: 1\nextends: {twice}\n")).items} == {"C-1", "C-5"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("extends: [{path: company.yaml, only: [C-1, D-*]}]", r":2: only: no item is called 'D-\*'"),
        ("extends: [{path: company.yaml, only: [C-1], adopt: [C-5]}]", ":2: adopt: .* has no item 'C-5'"),
        (
            "extends: [{path: company.yaml, only: [C-1]}]\nitems: [{id: C-5, title: Ours}]",
            ":3: item C-5 has no base_practice, because `only` leaves it out",
        ),
    ],
)
def test_what_only_leaves_out_is_told(write, load, body, message):
    """A pattern without items, and an item that is used although it is left out, are errors with their line."""
    write(CHECKLIST, "company.yaml")
    with pytest.raises(CollectedSpecError, match=message):
        load(write(f"mle_spec: 1\n{body}\n"))

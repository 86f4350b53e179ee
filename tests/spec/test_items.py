"""Items: what the plan says of each, and what keeps an item PENDING before anything runs."""

from __future__ import annotations

import pytest

from pytest_mle.errors import CollectedSpecError, SpecError

INPUTS = "inputs: {datasets: {test: {path: a}}, models: {m: {path: b}}}\n"


@pytest.fixture
def load_items(write, load):
    """Load a spec with the given items."""

    def load_these(*items: str, head: str = INPUTS):
        body = "".join(f"  - {{id: X-{i}, base_practice: MLE.4.BP3, {item}}}\n" for i, item in enumerate(items, 1))
        return load(write(f"mle_spec: 1\n{head}items:\n{body}")).items

    return load_these


def test_an_item_without_criterion_and_evidence_is_pending(load_items):
    """Nothing would be shown, so nothing is green; advice alone is not enough."""
    items = load_items(
        "check: fixture",
        "check: fixture, advise: [share >= 90 %]",
        "check: fixture, accept: [{criterion: share >= 90 %, severity: advisory}]",
        "check: fixture, accept: [share >= 90 %]",
        "evidence: [{file: a.md}]",
        "title: Nothing at all",
    )
    pending = ("no criterion adopted",)
    assert [item.pending_reasons for item in items] == [pending, pending, pending, (), (), pending]


def test_an_input_that_no_one_declared_is_pending(load_items):
    """It is owed; a name that is nearly right gets a hint."""
    accept = "with: {runs: 1}, accept: [map_50 >= 90 %]"
    (item,) = load_items(f"check: detector, {accept}", head="")
    assert item.pending_reasons == (
        "no model is declared under inputs.models",
        "no dataset is declared under inputs.datasets",
    )
    (item,) = load_items(f"check: detector, using: {{dataset: tets}}, {accept}")
    assert item.pending_reasons == ("the dataset 'tets' is not declared under inputs.datasets. Did you mean 'test'?",)


def test_one_of_several_inputs_must_be_chosen(load_items):
    """With two data sets and no default, no one knows which is meant."""
    head = "inputs: {datasets: {a: {path: a}, b: {path: b}}, models: {m: {path: b}}}\n"
    check = "check: detector, with: {runs: 1}, accept: [map_50 >= 90 %]"
    (item,) = load_items(check, head=head)
    assert item.pending_reasons == ("no dataset is chosen; name one of a, b in using or defaults",)
    assert load_items(check, head=head + "defaults: {dataset: b}\n")[0].pending_reasons == ()
    assert load_items(check + ", using: {dataset: a}", head=head)[0].using == {"dataset": "a"}


def test_inputs_of_every_kind_are_looked_for(load_items):
    """Predictions need a model and a data set, logs a training log."""
    (item,) = load_items("check: comparison, accept: [share >= 90 %]", head="")
    assert item.pending_reasons == (
        "no dataset for 'reference' is declared under inputs.datasets",
        "no dataset for 'current' is declared under inputs.datasets",
        "no training log for 'log' is declared under inputs.training_logs",
        "no model for 'predictions' is declared under inputs.models",
        "no dataset is declared under inputs.datasets",
    )
    head = INPUTS + "requirements: []\n"
    head = head.replace("models:", "training_logs: {final: {path: c}}, models:")
    (item,) = load_items("check: comparison, using: {reference: test}, accept: [share >= 90 %]", head=head)
    assert item.pending_reasons == ()


def test_a_check_of_requirements_needs_some(load_items):
    """Traceability of nothing is not shown."""
    check = "check: traceability, accept: [untraced == 0]"
    (item,) = load_items(check, head="")
    assert item.pending_reasons == ("no requirements are declared",)
    assert item.is_derived
    assert load_items(check, head="requirements: [{id: R-1, text: Robust.}]\n")[0].pending_reasons == ()


def test_the_asil_decides_what_applies(load_items):
    """An item for C and D is closed in a project of ASIL B, with the reason; decomposed B(D) still owes it."""
    item = "asil: [C, D], evidence: [{file: a.md}]"
    (closed,) = load_items(item, head="project: {name: P, asil: B}\n")
    assert closed.not_applicable == "it applies to ASIL C, D; the project is ASIL B"
    for asil in ("C", "D", "B(D)"):
        assert load_items(item, head=f"project: {{name: P, asil: {asil}}}\n")[0].not_applicable is None
    assert load_items(item, head="")[0].not_applicable is None
    assert closed.asil_levels == ("C", "D")


def test_the_kind_follows_from_what_an_item_has(load_items):
    """Check, evidence or both."""
    items = load_items(
        "check: fixture, accept: [share >= 90 %]",
        "evidence: [{file: a.md}]",
        "check: fixture, accept: [share >= 90 %], evidence: [{file: a.md}]",
    )
    assert [item.kind for item in items] == ["automated", "evidence", "hybrid"]


def test_evidence_is_read_in_full(load_items):
    """Kind, target, role, validity and further details."""
    (item,) = load_items(
        "evidence: [{folder: docs, roles: [QA, safety engineer], valid_for: 2 d}, {issue: CR-7}, "
        "{record: r.json, fields: [date], title: Drill}, {url: 'https://example.org'}]"
    )
    folder, issue, record, url = item.evidence
    assert (folder.kind, folder.target, folder.role, folder.valid_for_days) == (
        "folder",
        "docs",
        "QA and safety engineer",
        2,
    )
    assert (issue.kind, issue.target) == ("reference", "CR-7")
    assert record.details == {"fields": ["date"], "title": "Drill"}
    assert url.kind == "url"
    assert folder.details == {"roles": ["QA", "safety engineer"]}


def test_small_keys_are_kept(load_items):
    """Fit, standards, marks, waivable and description reach the plan."""
    (item,) = load_items(
        "evidence: [{file: a.md}], fit: weak, standards: [ISO 21448], marks: [slow, slow], waivable: false, "
        "description: In full., handbook_base_practice: MLE.4-BP2"
    )
    assert (item.fit, item.standards, item.marks) == ("weak", ("ISO 21448",), ("slow",))
    assert (item.is_waivable, item.description, item.handbook_base_practice) == (False, "In full.", "MLE.4-BP2")


@pytest.mark.parametrize("spelling", ["MLE.4.BP3", "MLE.4-BP3", "mle.4.bp3", "MLE.4 BP3"])
def test_base_practices_are_known_by_several_spellings(write, load, spelling):
    """The handbook writes MLE.1-BP6, Automotive SPICE MLE.1.BP6."""
    text = f"mle_spec: 1\nitems: [{{id: X-1, base_practice: {spelling}, evidence: [{{file: a.md}}]}}]\n"
    if spelling.islower():
        text = text.replace("mle.4.bp3", "MLE.4.bp3")
    assert load(write(text)).items[0].base_practice == "MLE.4.BP3"


def test_slices_are_named_by_what_they_are(load_items):
    """Values alone where they differ, attribute and comparison where needed; safe characters only."""
    items = load_items(
        "check: f, accept: [s >= 1], for_each: [{where: {weather: clear}}, {where: {weather: heavy rain/fog}}]",
        "check: f, accept: [s >= 1], for_each: [{where: {distance_m: {lt: 50}}}, {where: {distance_m: {ge: 50, lt: 80}}}]",
        "check: f, accept: [s >= 1], for_each: [{where: {a: 1, b: 2}}, {name: 'By hand', where: {a: 3}}]",
        "check: f, accept: [s >= 1], for_each: [{using: {model: m}}, {with: {n: 3}}, {where: {w: [rain, fog]}}]",
        "check: f, accept: [s >= 1], for_each: [{where: {a: 1}}, {where: {b: 1}}]",
    )
    assert [item.name for item in items] == [
        "X-1[clear]",
        "X-1[heavy_rain_fog]",
        "X-2[distance_m-lt-50]",
        "X-2[distance_m-ge-50-lt-80]",
        "X-3[1-2]",
        "X-3[By_hand]",
        "X-4[m]",
        "X-4[3]",
        "X-4[rain-fog]",
        "X-5[a-1]",
        "X-5[b-1]",
    ]


def test_parameters_multiply(load_items):
    """One test case per combination; names carry the parameter where there are several."""
    items = load_items(
        "check: f, accept: [s >= 1], parametrize: {sigma: [0.02, 1.0e-3]}",
        "check: f, accept: [s >= 1], parametrize: {sigma: [0.02, 0.05], kind: [blur, true]}",
        "check: f, accept: [s >= 1], for_each: [{where: {w: rain}}, {where: {w: fog}}], parametrize: {sigma: [0.02]}",
    )
    assert [item.name for item in items] == [
        "X-1[0.02]",
        "X-1[0.001]",
        "X-2[sigma-0.02-kind-blur]",
        "X-2[sigma-0.02-kind-true]",
        "X-2[sigma-0.05-kind-blur]",
        "X-2[sigma-0.05-kind-true]",
        "X-3[rain-sigma-0.02]",
        "X-3[fog-sigma-0.02]",
    ]
    assert items[5].parameters == {"sigma": 0.05, "kind": True}
    assert items[6].where == {"w": "rain"}


def test_a_slice_refines_its_item(load_items):
    """Conditions join, parameters merge, criteria of the slice replace, accept_more appends, one slice can be closed."""
    items = load_items(
        "check: f, accept: [s >= 1], with: {a: 1, b: 1}, where: {distance_m: {lt: 50}}, for_each: ["
        "{where: {distance_m: {ge: 10}, w: rain}, with: {b: 2}, accept: [s >= 2]}, "
        "{where: {w: fog}, accept_more: [s <= 9], advise: [s >= 5]}, "
        "{where: {w: snow}, not_applicable: It never snows.}]"
    )
    rain, fog, snow = items
    assert rain.where == {"distance_m": {"lt": 50, "ge": 10}, "w": "rain"}
    assert (rain.parameters, fog.parameters) == ({"a": 1, "b": 2}, {"a": 1, "b": 1})
    assert [[one.text for one in item.criteria] for item in items] == [
        ["s >= 2"],
        ["s >= 1", "s <= 9", "s >= 5"],
        ["s >= 1"],
    ]
    assert snow.not_applicable == "It never snows."
    assert fog.not_applicable is None


def test_names_are_unique_and_safe(load_items):
    """Node ids, file names and XML take every name of the plan."""
    items = load_items(
        "check: f, accept: [s >= 1], parametrize: {v: ['<a>', 'a::b[c]', 'ü/\\\\', '', 'a b', -1, [1, 2], {k: 1}, null]}"
    )
    names = [item.name for item in items]
    assert len(set(names)) == len(names) == 9
    assert all(
        name.removeprefix("X-1[").removesuffix("]").replace("_", "a").replace("-", "a").replace(".", "a").isalnum()
        for name in names
    )


def test_misspelt_id_of_a_checklist_item_names_the_closest_one(load, write):
    """An overlay that addresses an item which no checklist has is told so, not only that a key is missing."""
    text = "mle_spec: 1\nextends: [aspice-mle]\nitems:\n  - {id: MLE3-2.1-11, accept: [epochs_logged >= 1]}\n"
    with pytest.raises(
        SpecError, match=r":4: item MLE3-2.1-11 has no base_practice, and no checklist .* id. Did you mean"
    ):
        load(write(text))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("items: [{id: A-1, title: x, base_practise: MLE.4.BP3, check: fixture}]", "base_practise"),
        ("requirements: [{id: R-1, txt: x}]", "txt"),
        ("project: {nam: x}", "nam"),
    ],
)
def test_misspelt_required_key_is_one_error(load, write, text, key):
    """A required key with a slip in its name is told once, as the unknown key that it is."""
    with pytest.raises(CollectedSpecError) as caught:
        load(write(f"mle_spec: 1\n{text}\n"))
    about = [str(error) for error in caught.value.errors if "unknown key" in str(error) or "has no" in str(error)]
    assert len(about) == 1
    assert f"unknown key {key!r}" in about[0]

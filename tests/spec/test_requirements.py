"""Requirements: number and conditions stand together, and an item that verifies one cannot bend either."""

from __future__ import annotations

import pytest

from pytest_mle.errors import CollectedSpecError

SPEC = """\
mle_spec: 1
policy: {confidence: 95 %}
inputs: {datasets: {test: {path: a}}, models: {m: {path: b}}}
requirements:
  - id: R-1
    text: Robust.
    parents: [S-1, S-2]
    rationale: Noise must not hide a pedestrian.
    asil: B(D)
    type: functional
    priority: 1
    attributes: {author: me}
    criteria: [map_50 >= 80 % at 99 % confidence, {criterion: latency_p95 <= 50 ms, severity: advisory}]
    under: {check: detector, with: {runs: 3}, where: {weather: rain}}
  - {id: R-2, text: A number alone., criteria: [relative_drop <= 5 %]}
  - {id: R-3, text: No number.}
items:
"""


@pytest.fixture
def load_item(write, load):
    """Load a spec with one item."""

    def load_one(item: str):
        return load(write(SPEC + f"  - {{id: X-1, base_practice: MLE.4.BP3, {item}}}\n")).items[0]

    return load_one


def test_an_item_takes_everything_from_its_requirement(load_item):
    """Check, parameters, conditions and criteria come from one place, with the line of that place."""
    item = load_item("verifies: [R-1], advise: [map_50 >= 90 %]")
    assert (item.check, item.parameters, item.where) == ("detector", {"runs": 3}, {"weather": "rain"})
    assert [(one.text, one.confidence, one.is_advisory, one.origin, one.requirement) for one in item.criteria] == [
        ("map_50 >= 80 % at 99 % confidence", 0.99, False, "requirement", "R-1"),
        ("latency_p95 <= 50 ms", 0.95, True, "requirement", "R-1"),
        ("map_50 >= 90 %", 0.95, True, "project", None),
    ]
    assert str(item.key_origins["check"]) == "spec.yaml:14"
    assert str(item.criteria[0].location) == "spec.yaml:13"
    assert [(one.requirement, one.is_partial) for one in item.verifies] == [("R-1", False)]


def test_own_criteria_add(load_item):
    """The item's accept stands beside the requirement's."""
    item = load_item("verifies: [R-1], accept: [false_negative_rate <= 5 %]")
    assert [one.text for one in item.criteria if not one.is_advisory] == [
        "map_50 >= 80 % at 99 % confidence",
        "false_negative_rate <= 5 %",
    ]


def test_saying_the_same_is_no_contradiction(load_item):
    """Repeating check and parameters is allowed, further parameters add."""
    item = load_item("verifies: [R-1], check: detector, with: {runs: 3, half: true}, where: {weather: rain}")
    assert item.parameters == {"runs": 3, "half": True}


def test_several_requirements_share_a_check(load_item):
    """Criteria of all of them are judged in one run."""
    item = load_item("verifies: [R-1, R-2, R-3]")
    assert [one.requirement for one in item.criteria] == ["R-1", "R-1", "R-2"]


def test_a_part_may_be_shown_if_it_says_so(load_item):
    """Narrower conditions are fine for a partial verification."""
    item = load_item("verifies: [{id: R-2, partially: true}], check: detector, with: {runs: 1}, where: {weather: rain}")
    assert item.verifies[0].is_partial
    assert item.where == {"weather": "rain"}


@pytest.mark.parametrize(
    "item",
    [
        "verifies: [R-2], check: detector, with: {runs: 1}, where: {weather: rain}",
        "verifies: [R-2], check: detector, with: {runs: 1}, for_each: [{where: {weather: rain}}]",
    ],
)
def test_the_easy_part_does_not_show_the_whole(load_item, item):
    """A requirement without conditions is not verified on rain alone, by an item or by its slices."""
    with pytest.raises(
        CollectedSpecError, match=r"looks only at weather rain, but R-2 .* holds without that condition"
    ):
        load_item(item)


def test_a_slice_verifies_its_own_requirement(write, load):
    """One requirement for each slice, each with the condition that belongs to it."""
    text = SPEC.replace("items:\n", "") + (
        "  - {id: R-4, text: Dry., criteria: [map_50 >= 95 %], under: {where: {weather: clear}}}\n"
        "items:\n  - id: X-1\n    base_practice: MLE.4.BP3\n    check: detector\n    with: {runs: 3}\n    for_each:\n"
        "      - {where: {weather: rain}, verifies: [R-1]}\n      - {where: {weather: clear}, verifies: [R-4]}\n"
    )
    spec = load(write(text))
    assert [(item.name, item.verifies[0].requirement) for item in spec.items] == [
        ("X-1[rain]", "R-1"),
        ("X-1[clear]", "R-4"),
    ]


def test_a_requirement_keeps_all_it_says(write, load):
    """Parents, ASIL, type and further attributes reach traceability."""
    requirement = load(write(SPEC + "  - {id: X-1, base_practice: MLE.4.BP3, verifies: [R-1]}\n")).requirements["R-1"]
    assert requirement.parents == ("S-1", "S-2")
    assert (requirement.asil, requirement.type) == ("B(D)", "functional")
    assert requirement.attributes == {"priority": 1, "author": "me"}
    assert str(requirement.location) == "spec.yaml:5"
    assert [one.requirement for one in requirement.criteria] == ["R-1", "R-1"]


def test_the_content_hash_follows_the_meaning(write, load):
    """Layout and spelling of a number do not change it, every word and number does."""
    item = "  - {id: X-1, base_practice: MLE.4.BP3, verifies: [R-1]}\n"

    def hash_of(*change):
        return load(write(SPEC.replace(*change) + item)).requirements["R-1"].content_hash

    same = hash_of("", "")
    assert len(same) == 64
    assert hash_of("text: Robust.", 'text: "Robust."') == same
    assert hash_of(">= 80 % at", ">= 0.80 at") == same
    assert hash_of("[S-1, S-2]", "[S-2, S-1]") == same
    changes = [
        ("text: Robust.", "text: Robust!"),
        (">= 80 %", ">= 81 %"),
        ("at 99 %", "at 95 %"),
        ("runs: 3", "runs: 4"),
        ("weather: rain", "weather: snow"),
        ("[S-1, S-2]", "[S-1]"),
        ("B(D)", "C"),
        ("type: functional", "type: data"),
        ("priority: 1", "priority: 2"),
        ("Noise must", "Fog must"),
    ]
    assert len({hash_of(*change) for change in changes} | {same}) == len(changes) + 1


def test_requirements_come_from_files(write, load):
    """YAML lists, mappings with `requirements`, JSON, and files that name files; each keeps its own lines."""
    write("- {id: R-1, text: One.}\n- {from: sub/b.yaml}\n", "a.yaml")
    write("requirements:\n  - {id: R-2, text: Two.}\n", "sub/b.yaml")
    write('[{"id": "R-3",\n  "text": "Three."}]', "c.json")
    spec = load(
        write(
            "mle_spec: 1\nrequirements: [{from: a.yaml}, {from: c.json}]\n"
            "items: [{id: X-1, base_practice: MLE.4.BP3, evidence: [{file: a}], verifies: [R-2]}]\n"
        )
    )
    assert {name: str(one.location) for name, one in spec.requirements.items()} == {
        "R-1": "a.yaml:1",
        "R-2": "sub/b.yaml:2",
        "R-3": "c.json:1",
    }
    assert set(spec.files) == {"spec.yaml", "a.yaml", "sub/b.yaml", "c.json"}


def test_files_that_name_each_other_end(write, load):
    """Each file is read once, however often it is named; also where the number of paths through them explodes."""
    for index in range(30):
        write(
            "".join(f"- {{from: r{i}.yaml}}\n" for i in range(30)) + f"- {{id: R-{index}, text: T.}}\n",
            f"r{index}.yaml",
        )
    item = "items: [{id: X-1, base_practice: MLE.4.BP3, evidence: [{file: a}]}]\n"
    spec = load(write("mle_spec: 1\nrequirements: [{from: r0.yaml}, {from: r0.yaml}]\n" + item))
    assert len(spec.requirements) == 30

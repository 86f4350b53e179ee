"""Items that are alike share what pytest knows of their fixtures; nothing else may become alike by that."""

from __future__ import annotations

from checklist_project import CONFTEST, item


def test_each_of_many_alike_runs_its_own_item(project):
    """Items with the same check keep their own parameters, criteria, marks and lines."""
    project.spec(
        *(
            item(f"A-{i}", accept=f"errors == {i}", **{"with": {"errors": i % 3}}, marks=["odd"] * (i % 2))
            for i in range(6)
        )
    )
    assert project.run().ret == 1
    assert project.verdicts() == {f"A-{i}": "PASS" if i < 3 else "FAIL" for i in range(6)}
    assert len({one["line"] for one in project.results().values()}) == 6
    project.run("-m", "odd")
    assert [name for name, verdict in project.verdicts().items() if verdict != "NOT_SELECTED"] == ["A-1", "A-3", "A-5"]


def test_variants_that_a_conftest_makes_for_one_of_many_alike(project):
    """`pytest_generate_tests` of a project is asked for every item, so the second of two may have variants."""
    project.spec(item("A-1"), item("A-2"), item("A-3"))
    project.pytester.makeconftest(
        CONFTEST
        + """
@pytest.fixture(autouse=True)
def camera(request):
    return getattr(request, "param", None)

def pytest_generate_tests(metafunc):
    if metafunc.definition.name == "A-2":
        metafunc.parametrize("camera", ["front", "rear"], indirect=True)
"""
    )
    assert project.run().ret == 0
    assert list(project.verdicts()) == ["A-1", "A-2[front]", "A-2[rear]", "A-3"]


def test_parametrized_autouse_fixture_makes_variants_of_all(project):
    """An autouse fixture with parameters runs each of many alike once a parameter."""
    project.spec(item("A-1"), item("A-2"))
    project.pytester.makeconftest(
        CONFTEST
        + "@pytest.fixture(autouse=True, params=['day', 'night'])\ndef light(request):\n    return request.param\n"
    )
    assert project.run().ret == 0
    assert list(project.verdicts()) == ["A-1[day]", "A-1[night]", "A-2[day]", "A-2[night]"]


def test_autouse_fixture_is_set_up_for_each_of_many_alike(project):
    """A fixture that every test gets is set up and torn down around each item."""
    project.spec(item("A-1"), item("A-2"), item("A-3"))
    project.pytester.makeconftest(
        CONFTEST
        + "@pytest.fixture(autouse=True)\ndef around(request):\n    print('up', request.node.name)\n    yield\n    print('down')\n"
    )
    result = project.run("-s")
    assert [line.split("up ")[-1] for line in result.outlines if "up A-" in line] == ["A-1", "A-2", "A-3"]
    assert sum("down" in line for line in result.outlines) == 3

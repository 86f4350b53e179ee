"""What the README shows is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_mle.checks.catalogue import BUILT_IN, built_in_check
from pytest_mle.spec.load import load_spec

README = Path(__file__).resolve().parents[2] / "README.md"


def test_item_of_the_readme_becomes_two_test_cases(tmp_path):
    """The fragment is a valid part of a spec, with the names that the text below it gives."""
    text = README.read_text(encoding="utf-8")
    (fragment,) = re.findall(r"^```yaml\n(items:\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "spec.yaml").write_text(f"mle_spec: 1\n{fragment}", encoding="utf-8")
    spec = load_spec(
        tmp_path / "spec.yaml", overrides=(), environment={}, find_check=built_in_check, known_checks=list(BUILT_IN)
    )
    assert [item.name for item in spec.items] == ["MLE4-1.1-04[clear]", "MLE4-1.1-04[fog]"]
    assert all(f"`{item.name}`" in text for item in spec.items)


def test_links_of_the_readme_lead_somewhere():
    """Every file that the README links to is there."""
    linked = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text(encoding="utf-8"))
    assert linked
    assert [path for path in linked if not (README.parent / path).exists()] == []

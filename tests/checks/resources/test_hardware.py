"""Tests of the hardware fingerprint."""

from __future__ import annotations

import json

import pytest

from pytest_mle.checks.resources import hardware


def test_fingerprint_is_plain_data():
    """It names machine, CPU and cores, and survives JSON."""
    found = json.loads(json.dumps(hardware.hardware_fingerprint()))
    assert found["cpu"]
    assert 1 <= found["usable_cpus"] <= found["cpu_count"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("processor\t: 0\nmodel name\t: Fast Chip 9\n", "Fast Chip 9"),
        ("processor\t: 0\n\nHardware\t: Board X\n", "Board X"),
    ],
)
def test_cpu_model_on_different_machines(tmp_path, monkeypatch, content, expected):
    """PCs have a model name, older ARM boards a Hardware line."""
    (tmp_path / "cpuinfo").write_text(content)
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    assert hardware.hardware_fingerprint()["cpu"] == expected


def test_governor_is_read_where_there_is_one(tmp_path, monkeypatch):
    """A powersave governor explains slow times."""
    (tmp_path / "governor").write_text("powersave\n")
    monkeypatch.setattr(hardware, "GOVERNOR", tmp_path / "governor")
    assert hardware.hardware_fingerprint()["governor"] == "powersave"
    monkeypatch.setattr(hardware, "GOVERNOR", tmp_path / "absent")
    assert hardware.hardware_fingerprint()["governor"] == "unknown"

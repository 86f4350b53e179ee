"""Records of what was measured elsewhere."""

from pytest_mle.inputs.records.reading import read_record

__all__ = ["read_record"]

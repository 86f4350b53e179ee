"""Slices: where a model is weaker than elsewhere."""

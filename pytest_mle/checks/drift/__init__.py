"""Drift: whether current data still come from the distribution of the reference."""

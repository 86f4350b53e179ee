"""Frozen data that every layer shares; no files, no frameworks, no pytest."""

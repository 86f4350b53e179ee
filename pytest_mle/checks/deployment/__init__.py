"""Checks of what changes when a model is prepared for its target."""

"""Checks of object detectors, and the numeric core that they share."""

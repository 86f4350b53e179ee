"""Checks of time, size and memory."""

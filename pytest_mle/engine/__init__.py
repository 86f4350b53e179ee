"""Bind an item to its check, run it, judge what it measured."""

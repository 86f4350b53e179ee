"""Checks that judge requirements and other items."""

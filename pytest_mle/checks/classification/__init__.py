"""Checks of classifiers against their labels."""

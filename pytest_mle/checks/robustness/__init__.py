"""Robustness: what small changes of the input do to the predictions."""

"""Checks of the training run: did it converge, stay finite, overfit."""

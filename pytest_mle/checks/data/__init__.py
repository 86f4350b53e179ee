"""Checks of data sets: are the files whole, labelled, distinct."""

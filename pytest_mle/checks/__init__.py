"""Checks: a folder per family, a file per check. They measure; the spec decides."""

"""Configuration, experiment records, versions and stored artefacts of a training."""

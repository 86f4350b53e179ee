"""What checks examine: data sets, models, training logs, predictions."""

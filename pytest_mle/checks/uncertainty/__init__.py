"""What a model's own confidence is worth: calibration, rejection, unknown inputs, epistemic uncertainty."""

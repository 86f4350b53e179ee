"""Machine-learning-engineering checklists as pytest items."""

"""From YAML with line numbers to a validated, overlaid plan."""

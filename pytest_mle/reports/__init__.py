"""Reports: `results.json`, and everything that is made from its data alone (JUnit files, terminal summary)."""

"""The command line: `pytest-mle init | checks | schema | show`."""

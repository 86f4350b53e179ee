"""The pytest plugin; alone with the command line it knows pytest."""

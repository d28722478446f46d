"""Hooks for training libraries: each logs to the run that is given, else to the current one."""

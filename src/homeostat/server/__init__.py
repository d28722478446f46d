"""Composition: the control plane, the worker processes, the loop's thread."""

"""Metrics, slices, gates."""

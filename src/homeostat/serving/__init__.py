"""Scorers, the data plane, routing, the prediction log."""

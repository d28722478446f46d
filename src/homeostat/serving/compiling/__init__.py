"""Compiled scorers: a fitted model as numbers or a graph that answers in microseconds, checked against the original."""

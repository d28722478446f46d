"""Importers: what was tracked elsewhere, read by us and carried over, with a report of what could not be."""

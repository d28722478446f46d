"""Tests of one column: reference rows against current rows, by the names that people know."""

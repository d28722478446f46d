"""Translators of foreign protocols; no rules inside."""

"""The word for "this way does not lead there": a value on the report, never an error for a user."""


class CannotCompile(Exception):
    """A model cannot be compiled in one of the ways; the message says what stands in the way."""

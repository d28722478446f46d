"""Reports: a reference frame against a current one, in one call."""

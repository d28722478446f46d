"""The spool: what a run logs goes to a local file first, and from there to the server, exactly once."""

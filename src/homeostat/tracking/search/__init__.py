"""Search over runs: the filter as SQL, the order as SQL, a page at a time."""

"""Sources, views, point-in-time join, online reads, parity."""

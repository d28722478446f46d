"""Breaks in what is sent: nulls, values never seen, other units, stuck sensors, frozen features, refused requests."""

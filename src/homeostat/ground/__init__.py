"""The ground floor: ids, clock, errors, settings, ports. Standard library and msgspec only."""

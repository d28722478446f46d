"""Plans, guards, the sequential test, the controller."""

"""The declared model, triggers, cycles: the only domain code that knows several rooms."""

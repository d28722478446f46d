"""Accuracy by window: what is said of an hour, a day or a week of predictions, and what was said of it before."""

"""Reference bins, drift, accuracy with late labels, latency and errors."""

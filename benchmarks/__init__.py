"""Benchmarks: `make bench SUITE=name` prints one JSON line a case and writes benchmarks/out/name.json."""

"""Projects, runs, params, metrics, artifacts."""

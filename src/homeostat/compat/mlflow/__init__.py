"""MLflow's REST API: foreign struct in, our verb, foreign struct out. No rules inside."""

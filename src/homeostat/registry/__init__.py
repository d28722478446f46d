"""Models, versions, aliases, the promotion ledger, packaging."""

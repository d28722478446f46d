"""The store: database, migrations, blobs, events, outbox. No domain words."""

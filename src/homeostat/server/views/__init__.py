"""Read models: what pages, commands and clients show, put together from several rooms. They never write."""

"""The HTTP API. FastAPI costs most of a second to import, so only the first call imports this."""

"""A local Azure Functions host for one Python app, on Microsoft's own worker library."""

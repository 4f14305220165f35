"""Running command steps for real: one process each, in order of their data."""

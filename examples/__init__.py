"""Definitions to learn from, and the programs behind `make demo` and `make run`."""

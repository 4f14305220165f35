"""Versioned assets: code, environments, components and data."""

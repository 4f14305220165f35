"""Compute targets: clusters and instances through their states, attached ones to look at."""

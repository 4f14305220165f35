"""Compute targets: the clusters that the topology names."""

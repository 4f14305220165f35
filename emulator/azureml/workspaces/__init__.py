"""The workspace itself: its ARM resource, datastores and the discovery of its other hosts."""

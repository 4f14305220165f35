"""The graph language that pipeline jobs and pipeline components share: specs, nodes, bindings."""

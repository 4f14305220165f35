"""Run history: the data plane behind child jobs, streaming and downloads."""

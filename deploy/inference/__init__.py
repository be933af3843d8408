"""Whole runs: `run` takes sources to folders of results, `benchmark` times the stages of a model."""

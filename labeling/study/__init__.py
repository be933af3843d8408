"""Comparison of ways of labeling: see `label_study`."""

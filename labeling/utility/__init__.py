"""Utility of rankings of macroblocks: `evaluation` measures it."""

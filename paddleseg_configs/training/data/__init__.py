"""Samples: read, augmented without breaking the macroblock grid, and shuffled by the seed."""

"""Samples: read, augmented without moving the macroblock grid, in an order that the seed decides."""

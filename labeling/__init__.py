"""Video -> macroblock importance labels (PyTorch)."""

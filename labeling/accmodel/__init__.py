"""AccModel, AccMPEG's predictor of macroblock importance: a frozen detector backbone and a small head (PyTorch)."""

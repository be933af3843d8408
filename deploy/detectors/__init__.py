"""Object detectors without a framework: layouts of outputs, preparation of frames, class names.

The decoders run on both NumPy arrays and PyTorch tensors, so that labeling and deployment share them.
"""

"""What is known of object detectors without any framework: layouts of outputs, preparation of frames, names of classes.

The decoders run on NumPy arrays and on PyTorch tensors alike, so that labeling and deployment decode with one code.
"""

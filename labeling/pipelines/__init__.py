"""Wire the pure mathematics to detectors, upscalers and files."""

"""Run an exported importance predictor. Needs only numpy, Pillow, PyAV and one inference runtime."""

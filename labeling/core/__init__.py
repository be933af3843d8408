"""Code that the parts of labeling share, on top of `deploy.core`."""

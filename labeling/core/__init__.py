"""What the features of labeling share, above `deploy.core`."""

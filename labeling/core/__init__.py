"""What the features of labelling share, above `deploy.core`."""

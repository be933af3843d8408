"""Code shared by the packages of labeling, in addition to `deploy.core`."""

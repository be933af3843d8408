"""What is trained, on what, and on which device: the configuration and the dataset made to agree."""

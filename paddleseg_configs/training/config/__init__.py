"""What to train, on which data and device: reconciles the configuration and the dataset."""

"""Settings of a training run: configuration, dataset and device."""

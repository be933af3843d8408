"""From videos to a dataset: `label_videos` reads from top to bottom as the work goes."""

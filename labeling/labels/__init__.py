"""Make datasets from videos; start reading at `label_videos`."""

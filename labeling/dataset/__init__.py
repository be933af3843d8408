"""The dataset folder: its manifest, list files and images."""

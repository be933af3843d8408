"""Models, losses and metrics of the ladder, from PaddleSeg and from this project."""

"""Models, losses and metrics of the ladder, from PaddleSeg's parts and our own."""

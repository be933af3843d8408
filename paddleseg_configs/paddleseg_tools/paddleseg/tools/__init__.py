"""Commands on PaddleSeg models; see paddleseg_configs.training."""

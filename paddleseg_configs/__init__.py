"""PaddleSeg configurations and the tools that train, evaluate and export them."""

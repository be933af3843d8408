"""Train, evaluate, predict and export importance-level models with PaddleSeg's models and components.

`train`, `val`, `predict` and `export` are the commands; nothing imports Paddle before their options are parsed.
"""

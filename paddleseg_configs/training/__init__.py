"""Train, evaluate, predict and export importance-level models with PaddleSeg's models and components.

`train`, `val`, `predict` and `export` are the commands; nothing imports Paddle before their options are parsed.
"""

import os
import warnings

# Paddle's messages at every start or training that users cannot do anything about.
for _message in ("No ccache found", "When training, we now always track global mean"):
    warnings.filterwarnings("ignore", message=_message)
os.environ.setdefault("GLOG_minloglevel", "2")

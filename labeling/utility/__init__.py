"""What rankings of macroblocks are worth: `evaluation` measures them."""

"""Does super-resolution pay for one video and one detector? Ways to detect, measured side by side, and a verdict."""

"""Fixes for bugs of Paddle and PaddleSeg, applied in memory."""

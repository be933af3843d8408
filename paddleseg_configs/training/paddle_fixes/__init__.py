"""What Paddle and PaddleSeg get wrong, put right in memory."""

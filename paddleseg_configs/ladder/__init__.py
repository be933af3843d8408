"""Train, export and measure ladder models side by side."""

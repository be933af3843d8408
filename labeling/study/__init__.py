"""Which way of labeling is right: `label_study` compares them all."""

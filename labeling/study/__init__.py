"""Which way of labelling is right: `label_study` compares them all."""

"""Mathematics of labels and their utility as pure functions, without files or side effects."""

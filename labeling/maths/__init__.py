"""Pure mathematics of labels and their utility: no files, no side effects."""

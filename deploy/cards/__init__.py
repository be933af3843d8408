"""JSON files that cross from export to deployment: the card of a model, the record of a TensorRT engine."""

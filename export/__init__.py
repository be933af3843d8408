"""From trained weights to the ONNX file and model card that deployment reads."""

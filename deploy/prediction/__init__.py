"""From one frame to its importance map: `predictor` runs the model; `selection` chooses macroblocks."""

"""From one frame to its importance map: `predictor` runs it; `selection` says which macroblocks to enhance."""

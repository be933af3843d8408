"""From an importance map to the enhanced frame: `regions` of the selected blocks, `upscaler` for them, `enhancer`."""

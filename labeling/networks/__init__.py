"""Load the detector and the upscaler that options name, and choose the device they run on."""

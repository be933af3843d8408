"""Load the detector and the upscaler named in the options, and choose their device."""

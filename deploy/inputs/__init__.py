"""Frames in: `video` decodes files, `live` reads cameras, `sources` opens either of them, or images, by name."""

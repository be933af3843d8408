"""Results out: `results` writes a stream's maps, block lists and overlays into a folder that is whole or absent."""

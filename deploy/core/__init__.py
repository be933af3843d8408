"""What every stage shares: the macroblock grid, frame decoding, errors, atomic files, overlays.

It lives in ``deploy/`` because that folder must run alone on an edge box; the other stages import from here.
"""

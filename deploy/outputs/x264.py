"""What every use of x264 in this project shares."""

from __future__ import annotations

import platform

REPEATABLE = {"x264-params": "asm=SSE4.2"} if platform.machine() in ("x86_64", "AMD64") else {}
"""Options of x264 with which equal frames make equal packets: its code for AVX-512 reads unset memory (x264 165)."""

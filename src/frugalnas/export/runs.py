"""What every runtime is brought to: a function from pixels to logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Run = Callable[[Floats], Floats]
"""float32 pixels (N, C, H, W) from 0 to 255 -> logits (N, classes)."""


def batches(pixels: NDArray[np.uint8], size: int) -> Iterator[Floats]:
    """uint8 images (N, C, H, W) as pixels for a `Run`, `size` of them at a time."""
    for start in range(0, len(pixels), size):
        yield pixels[start : start + size].astype(np.float32)

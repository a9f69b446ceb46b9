"""How carefully to train, in the notation of EcoNAS (Zhou et al., CVPR 2020): `c4r4s0e60`.

Each index but the last halves its part of the costs once: c the initial channels and r the resolution shrink by the
square root of 2, s, the share of the training images, by 2; 0 leaves it whole. e is the number of epochs. The paper
gives c4 = 9 of 36 channels and r4 = 8 of 32 pixels; that what lies between is rounded to the nearest is our choice.
"""

from __future__ import annotations

import re
from itertools import count

from frugalnas.core import Fidelity, InputError

_NOTATION = re.compile(r"c([0-9]{1,2})r([0-9]{1,2})s([0-9]{1,2})e([0-9]{1,6})")


def parse(text: str, channels: int, resolution: int) -> Fidelity:
    """What `text` means for networks of `channels` initial channels on images of `resolution` pixels.

    Raises InputError for any other text, and for an index that leaves no channel or pixel.
    """
    match = _NOTATION.fullmatch(text.strip())
    if match is None:
        raise InputError(f"fidelity {text!r}: expected cArBsCeD, such as c4r4s0e60 (EcoNAS' notation)")
    c, r, s, e = map(int, match.groups())
    width, side = _shrunk(channels, c), _shrunk(resolution, r)
    if not width or not side:
        raise InputError(
            f"fidelity {text!r}: {channels} channels and {resolution} pixels become {width} and {side}, expected 1 or "
            "more"
        )
    return Fidelity(epochs=e, samples=2.0**-s, resolution=side, width=width)


def name_of(fidelity: Fidelity, channels: int, resolution: int) -> str:
    """The text of which `parse` makes `fidelity`, apart from its depth, which the notation does not have.

    Where rounding makes several indices equal, the smallest. Raises InputError for a fidelity between the indices.
    """
    c = _index(channels, channels if fidelity.width is None else fidelity.width, "width")
    r = _index(resolution, resolution if fidelity.resolution is None else fidelity.resolution, "resolution")
    s = next((index for index in range(100) if 2.0**-index == fidelity.samples), None)
    if s is None:
        raise InputError(f"samples = {fidelity.samples}: EcoNAS' notation has 1, 1/2, 1/4 and so on")
    return f"c{c}r{r}s{s}e{fidelity.epochs}"


def _shrunk(whole: int, index: int) -> int:
    return round(whole * 2 ** (-index / 2))


def _index(whole: int, part: int, name: str) -> int:
    found = next(index for index in count() if _shrunk(whole, index) <= part)
    if _shrunk(whole, found) != part:
        known = ", ".join(str(_shrunk(whole, index)) for index in range(max(found - 1, 0), found + 1))
        raise InputError(f"{name} = {part} of {whole}: EcoNAS' notation has no index for it, the nearest are {known}")
    return found

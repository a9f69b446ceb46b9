"""The error of a multiplier for every pair of operands, as a picture."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np
from PIL import Image

from frugalnas.multipliers.family import BITS, codes
from frugalnas.multipliers.multiplier import Multiplier

_LEFT, _TOP, _SIDE, _BAR = 64, 44, 512, 18  # pixels
_BELOW, _NONE, _ABOVE = (18, 78, 140), (255, 255, 255), (176, 36, 24)  # product too small, right, too large


def error_map(multiplier: Multiplier) -> str:
    """An SVG document: activation upwards, weight to the right, colour by the root of the error's size."""
    errors = multiplier.table.astype(np.int64) - multiplier.exact
    activations, weights = codes(BITS, multiplier.signed[0]), codes(multiplier.bits, multiplier.signed[1])
    ordered = errors[np.argsort(activations)[::-1]][:, np.argsort(weights)]
    largest = int(np.abs(errors).max())
    right, bottom = _LEFT + _SIDE, _TOP + _SIDE
    found = multiplier.errors()
    title = f"{multiplier.name}: MAE {found.mae_percent:.4f} %, WCE {found.wce_percent:.4f} %, bias {found.bias:.4g}"
    parts = [
        f'<text x="{_LEFT}" y="24" class="title">{escape(title)}</text>',
        f'<image x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" preserveAspectRatio="none" '
        f'style="image-rendering:pixelated" href="{_png(_shades(ordered, largest))}"/>',
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#5a6878"/>',
    ]
    for fraction, value in _ticks(weights):
        parts.append(_word(_LEFT + fraction * _SIDE, bottom + 18, value, "middle"))
    for fraction, value in _ticks(activations):
        parts.append(_word(_LEFT - 8, bottom - fraction * _SIDE + 4, value, "end"))
    parts += [
        _word(_LEFT + _SIDE / 2, bottom + 40, "weight", "middle"),
        f'<text transform="translate(18 {_TOP + _SIDE / 2}) rotate(-90)" text-anchor="middle">activation</text>',
        *_legend(right + 28, largest),
    ]
    style = "text{font:13px system-ui,sans-serif;fill:#1c2733}.title{font-size:15px;font-weight:600}"
    width, height = right + 130, bottom + 56
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}"><style>{style}</style><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _shades(errors: np.ndarray, largest: int) -> np.ndarray:
    """Numbers in a palette, 128 for no error: uint8."""
    root = np.sign(errors) * np.sqrt(np.abs(errors) / max(largest, 1))
    return np.asarray(128 + np.rint(root * 127), dtype=np.uint8)


def _palette() -> list[int]:
    shares = (np.arange(256) - 128)[:, None] / 127
    colours = np.where(shares < 0, _BELOW, _ABOVE)
    mixed = np.array(_NONE) + np.abs(shares).clip(0, 1) * (colours - np.array(_NONE))
    return [int(value) for value in np.rint(mixed).ravel()]


def _png(shades: np.ndarray) -> str:
    image = Image.fromarray(shades, mode="P")
    image.putpalette(_palette())
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _ticks(values: np.ndarray) -> list[tuple[float, int]]:
    """Where along the axis which codes stand: the ends, and the quarters between."""
    low, count = int(values.min()), len(values)
    steps = sorted({0, count // 4, count // 2, 3 * count // 4, count - 1})
    return [((step + 0.5) / count, low + step) for step in steps]


def _legend(left: float, largest: int) -> list[str]:
    """A bar from the largest error to its negative; a quarter of the error is half of the way."""
    middle = _TOP + _SIDE / 2
    words = {-1.0: largest, -0.5: round(largest / 4), 0.0: 0, 0.5: -round(largest / 4), 1.0: -largest}
    bar = np.arange(255, 0, -1, dtype=np.uint8)[:, None]
    return [
        f'<image x="{left}" y="{_TOP}" width="{_BAR}" height="{_SIDE}" preserveAspectRatio="none" href="{_png(bar)}"/>',
        f'<rect x="{left}" y="{_TOP}" width="{_BAR}" height="{_SIDE}" fill="none" stroke="#5a6878"/>',
        _word(left - 4, _TOP - 10, "product − exact", "start"),
        *(
            _word(left + _BAR + 8, middle + share * _SIDE / 2 + 4, f"{value:+,}" if value else "0", "start")
            for share, value in (words.items() if largest else [(0.0, 0)])
        ),
    ]


def _word(x: float, y: float, text: object, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(str(text))}</text>'

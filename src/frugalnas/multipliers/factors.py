"""A table of products as a sum of few products of one-operand functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Factors:
    """table[a, b] == sum over r of rows[a, r] * columns[b, r], exactly: int32 (256, R) and (2**N, R).

    `shifts`: where every rows[:, r] is the code without its lowest shifts[r] bits, (a >> s) << s, these s; a layer then
    needs no look-up. None for factors of another kind.
    """

    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    shifts: tuple[int, ...] | None = None

    @property
    def rank(self) -> int:
        return int(self.rows.shape[1])

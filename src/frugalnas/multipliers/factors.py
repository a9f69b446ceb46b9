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

    @property
    def bound(self) -> int:
        """No sum of the R terms of one product is larger, whatever their signs: sum of max|rows| * max|columns|."""
        largest = (np.abs(side.astype(np.int64)).max(axis=0, initial=0) for side in (self.rows, self.columns))
        return int(np.prod(list(largest), axis=0).sum())

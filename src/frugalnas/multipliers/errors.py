"""How far a multiplier is from the exact one, over all pairs of operands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Errors:
    """Of all pairs, each as likely as another.

    `mae`, `wce`, `bias`: mean and largest size, and mean, of product minus exact product. `mse`: mean square.
    `mre`: mean size relative to the exact product, over the pairs whose exact product is not 0; as the figures of
    EvoApproxLib are. `ep`: share of pairs with a wrong product. `largest`: 2**bits of the product, which percentages of
    MAE and WCE relate to, there too.
    """

    mae: float
    wce: int
    mre: float
    ep: float
    mse: float
    bias: float
    largest: int

    @property
    def mae_percent(self) -> float:
        return 100 * self.mae / self.largest

    @property
    def wce_percent(self) -> float:
        return 100 * self.wce / self.largest

    @property
    def mre_percent(self) -> float:
        return 100 * self.mre

    @property
    def ep_percent(self) -> float:
        return 100 * self.ep


def errors_of(table: NDArray[np.int32], exact: NDArray[np.int32]) -> Errors:
    """Of the products (256, 2**N) against the exact ones."""
    error = table.astype(np.int64) - exact
    size = np.abs(error)
    meant = exact != 0
    return Errors(
        mae=float(size.mean()),
        wce=int(size.max()),
        mre=float(np.mean(size[meant] / np.abs(exact[meant]))),
        ep=float(np.mean(error != 0)),
        mse=float(np.mean(error * error)),
        bias=float(error.mean()),
        largest=int(table.size),
    )

"""What can be built: spaces of genotypes, by name. Nothing here imports torch before a network is built."""

from frugalnas.spaces.cell import CellSpace
from frugalnas.spaces.cgp import CGPSpace
from frugalnas.spaces.macro import MacroSpace
from frugalnas.spaces.nasbench101 import NasBench101
from frugalnas.spaces.nasbench201 import NasBench201
from frugalnas.spaces.nasbench_macro import NasBenchMacro
from frugalnas.spaces.nats_size import NatsSize

AnySpace = CGPSpace | CellSpace | MacroSpace | NasBench101 | NasBench201 | NasBenchMacro | NatsSize
SPACES: dict[str, type[AnySpace]] = {
    "cell": CellSpace,
    "cgp": CGPSpace,
    "macro": MacroSpace,
    "nasbench101": NasBench101,
    "nasbench201": NasBench201,
    "nasbench_macro": NasBenchMacro,
    "nats_size": NatsSize,
}


def name_of(space: AnySpace) -> str:
    """What the space is called in `SPACES`."""
    return next(name for name, kind in SPACES.items() if kind is type(space))

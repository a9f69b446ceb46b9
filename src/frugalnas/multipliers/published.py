"""Published figures of designs that are members of the family, as facts.

EvoApproxLib (Mrazek, Hrbacek, Vasicek, Sekanina: "EvoApprox8b", DATE 2017), branch v2022, 45 nm. Names are not unique
between its versions: `mul8s_1KV8` is exact in one and approximate in the other, so that no design goes by its name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from frugalnas.multipliers.family import BITS, Family


@dataclass(frozen=True, slots=True)
class Published:
    """Errors in percent of 2**16 as published (EP: of all pairs), power in mW, area in um2, delay in ns."""

    name: str
    older_name: str
    mae: float
    wce: float
    mre: float
    ep: float
    power_mw: float
    area_um2: float
    delay_ns: float


PUBLISHED: dict[Family, Published] = {
    Family(0, 0, 0): Published("mul8s_1KV6", "mul8s_1KV8", 0, 0, 0, 0, 0.425, 729.8, 1.48),
    Family(0, 0, 2): Published("mul8s_1KV8", "mul8s_1KVA", 0.0018, 0.0076, 0.28, 50.00, 0.422, 711.0, 1.48),
    Family(0, 0, 3): Published("mul8s_1KV9", "mul8s_1KVB", 0.0064, 0.026, 0.90, 68.75, 0.410, 685.2, 1.47),
    Family(0, 0, 4): Published("mul8s_1KVA", "mul8s_1KX2", 0.019, 0.075, 2.53, 81.25, 0.391, 641.1, 1.51),
    Family(1, 0, 0): Published("mul8s_1KVM", "mul8s_1KR8", 0.049, 0.20, 2.40, 49.80, 0.369, 652.8, 1.37),
    Family(1, 0, 3): Published("mul8s_1KVP", "mul8s_1KR6", 0.051, 0.21, 2.73, 74.80, 0.363, 635.0, 1.37),
    Family(1, 0, 4): Published("mul8s_1KVQ", "mul8s_1KRC", 0.056, 0.25, 3.64, 84.18, 0.351, 599.8, 1.36),
    Family(1, 1, 0): Published("mul8s_1L2J", "mul8s_1L2H", 0.081, 0.39, 4.41, 74.61, 0.301, 558.9, 1.36),
    Family(2, 0, 5): Published("mul8s_1KX5", "mul8s_1KVL", 0.15, 0.69, 8.93, 91.89, 0.289, 543.0, 1.33),
    Family(3, 0, 0): Published("mul8s_1KXF", "mul8s_1KTY", 0.34, 1.37, 15.72, 87.16, 0.237, 482.4, 1.19),
    Family(2, 2, 0): Published("mul8s_1L2L", "mul8s_1L2D", 0.23, 1.16, 12.26, 93.16, 0.200, 411.6, 1.14),
    Family(3, 3, 0): Published("mul8s_1L2N", "mul8s_1L1G", 0.52, 2.66, 27.44, 97.75, 0.126, 284.9, 0.94),
    Family(6, 0, 0): Published("mul8s_1L12", "mul8s_1KR3", 3.08, 12.30, 135.77, 98.05, 0.052, 172.2, 0.89),
}

"""The 13 signed designs of 8x8 bits."""

EXACT: dict[Family, Published] = {
    Family(0, 0, 0, False, bits): Published(name, older, 0, 0, 0, 0, power, area, delay)
    for bits, name, older, power, area, delay in (
        (8, "mul8u_1JJQ", "mul8u_1JFF", 0.391, 709.6, 1.43),
        (7, "mul8x7u_11N", "mul8x7u_0V5", 0.336, 629.8, 1.36),
        (6, "mul8x6u_1NM", "mul8x6u_049", 0.267, 538.3, 1.55),
        (5, "mul8x5u_4HF", "mul8x5u_4E8", 0.198, 436.0, 1.34),
        (4, "mul8x4u_2DB", "mul8x4u_2UU", 0.137, 342.6, 1.16),
        (3, "mul8x3u_003", "mul8x3u_0KE", 0.082, 247.3, 0.92),
        (2, "mul8x2u_0C8", "mul8x2u_106", 0.033, 109.8, 0.66),
    )
}
"""The exact unsigned designs, which the unit-gate model is scaled by."""


def published(design: Family) -> Published | None:
    """What was published of this design, with its operands in either order."""
    known = PUBLISHED | EXACT
    if design.bits != BITS:
        return known.get(design)
    return known.get(design) or known.get(replace(design, ha=design.hb, hb=design.ha))

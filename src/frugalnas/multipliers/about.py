"""What there is to say of a multiplier: a line for lists, a page of text, facts for programs."""

from __future__ import annotations

from typing import Any

from frugalnas.multipliers import library
from frugalnas.multipliers.multiplier import Multiplier
from frugalnas.multipliers.published import published

EXACT_SUMS = 1 << 24  # float32 holds whole numbers up to here


def listed() -> tuple[Multiplier, ...]:
    """The fronts of the signed and of the unsigned family, and the published designs, each in falling power."""
    known = [library.find(name) for name in library.published_names() if name.endswith(f"@{library.VERSIONS[0]}")]
    found = []
    for signed in (True, False):
        own = [member for member in known if member.signed == (signed, signed) and member.bits == 8]
        members = {member.name: member for member in (*library.usual(signed), *own)}
        found += sorted(members.values(), key=lambda member: -member.power_mw)
    return tuple(found)


def line(multiplier: Multiplier) -> str:
    """Power, power relative to the exact one, errors, rank, published name."""
    errors, rank = multiplier.errors(), multiplier.rank
    cells = [
        f"{multiplier.power_mw:.4f} mW {multiplier.power_source:9}",
        f"{library.relative_power(multiplier):.3f} of exact",
        f"MAE {errors.mae_percent:7.4f} %",
        f"WCE {errors.wce_percent:7.4f} %",
        f"rank {'-' if rank is None else rank}",
        *(names_of(multiplier)[:1]),
    ]
    return "  ".join(cells)


def names_of(multiplier: Multiplier) -> list[str]:
    """What the design is published as, with versions."""
    figures = multiplier.design and published(multiplier.design)
    if not figures:
        return []
    return [f"{name}@{at}" for name, at in zip((figures.name, figures.older_name), library.VERSIONS, strict=True)]


def facts(multiplier: Multiplier) -> dict[str, Any]:
    """Everything but the table, for JSON."""
    errors, factors = multiplier.errors(), multiplier.factors
    return {
        "name": multiplier.name,
        "published_as": names_of(multiplier),
        "source": multiplier.source,
        "sha256": multiplier.sha256,
        "signed": list(multiplier.signed),
        "bits": [8, multiplier.bits],
        "swapped": multiplier.swapped,
        "power_mw": multiplier.power_mw,
        "power_source": multiplier.power_source,
        "relative_power": library.relative_power(multiplier),
        "area_um2": multiplier.area_um2,
        "delay_ns": multiplier.delay_ns,
        "mae": errors.mae,
        "mae_percent": errors.mae_percent,
        "wce": errors.wce,
        "wce_percent": errors.wce_percent,
        "mre_percent": errors.mre_percent,
        "ep_percent": errors.ep_percent,
        "mse": errors.mse,
        "bias": errors.bias,
        "rank": multiplier.rank,
        "exact_rank": multiplier.exact_rank,
        "bound": None if factors is None else factors.bound,
    }


def text_of(multiplier: Multiplier) -> str:
    """The same to read."""
    found = facts(multiplier)
    words = ["signed" if signed else "unsigned" for signed in multiplier.signed]
    order = ", operands exchanged" if multiplier.swapped else ""
    names = f"; published as {', '.join(found['published_as'])}" if found["published_as"] else ""
    power = f"{multiplier.power_mw:.4g} mW ({multiplier.power_source}), {found['relative_power']:.3f} of exact 8x8"
    largest = f"WCE {found['wce']} ({found['wce_percent']:.4f} %)"
    measures = ((multiplier.area_um2, "um2"), (multiplier.delay_ns, "ns"))
    size = "".join(f", {value:.4g} {unit}" for value, unit in measures if value is not None)
    shares = ", ".join(f"{key.upper()} {found[f'{key}_percent']:.2f} %" for key in ("mre", "ep"))
    lines = [
        f"{multiplier.name}: {words[0]} 8-bit activation x {words[1]} {multiplier.bits}-bit weight{order}",
        f"source   {multiplier.source}{names}",
        f"sha256   {multiplier.sha256} (of the table)",
        f"power    {power}{size}",
        f"errors   MAE {found['mae']:.6g} ({found['mae_percent']:.4f} %), {largest}",
        f"         {shares}, MSE {found['mse']:.6g}, bias {found['bias']:.6g}",
        f"rank     {found['exact_rank']}: {_path(multiplier)}",
    ]
    return "\n".join(lines)


def _path(multiplier: Multiplier) -> str:
    factors = multiplier.factors
    if factors is None:
        return "no sum of few products; layers look products up"
    if not factors.rank:
        return "every product is 0"
    rows, columns = (int(abs(side).max()) for side in (factors.rows, factors.columns))
    return (
        f"layers compute it as {factors.rank} exact convolution{'s' * (factors.rank > 1)}, entries up to {rows} and "
        f"{columns}; float32 sums of {EXACT_SUMS // factors.bound:,} products are exact whatever the weights"
    )

"""Multipliers by name, and the ones to choose among when nothing else is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from frugalnas.core import InputError
from frugalnas.multipliers.family import BITS, Family
from frugalnas.multipliers.files import SUFFIX, is_there
from frugalnas.multipliers.multiplier import SIGN, SWAP, Multiplier
from frugalnas.multipliers.published import EXACT, PUBLISHED

VERSIONS = ("v2022", "master")  # of EvoApproxLib, whose names are not unique between them
_LIKE_ONE = re.compile(r"(8(x\d+)?[su]-.*|mul8.*|.*\.(bin|npy|safetensors))(\+.*)?")
_FAMILY = re.compile(r"8(?:x([2-7]))?([su])-(\d{1,2})-(\d{1,2})-(\d{1,2})")
_CHANGES: dict[str, Callable[[Multiplier], Multiplier]] = {SWAP: Multiplier.swap, SIGN: Multiplier.sign_magnitude}


def exact(signed: bool = True, bits: int = BITS) -> Multiplier:
    """The multiplier that makes no error; `bits` of the second operand."""
    return _member(Family(0, 0, 0, signed, bits))


def find(name: str) -> Multiplier:
    """A family member (8s-2-0-5), a published design with its version (mul8s_1KX5@v2022), or a file that `save` wrote.

    +swap exchanges its operands, +sign gives an unsigned one signed weights. Raises InputError for anything else.
    """
    stem, *changes = name.split("+")
    if set(changes) <= {change.removeprefix("+") for change in _CHANGES}:
        found = _found(stem)
        for change in changes:
            found = _CHANGES[f"+{change}"](found)
        return found
    return _found(name)


def looks_like_one(name: str) -> bool:
    """Whether it can only be meant as the name or the file of a multiplier."""
    return bool(_LIKE_ONE.fullmatch(name))


def _found(name: str) -> Multiplier:
    if match := _FAMILY.fullmatch(name):
        bits, sign, ha, hb, v = match.groups()
        return _member(Family(int(ha), int(hb), int(v), sign == "s", int(bits or BITS)))
    known = published_names()
    if name in known:
        return _member(known[name])
    if is_there(Path(name)):
        entry = Path(name).stat()
        return _saved(name, entry.st_mtime_ns, entry.st_size)
    if name.endswith(SUFFIX):
        raise InputError(f"{name}: no such file")
    if versions := [f"{name}@{version}" for version in VERSIONS if f"{name}@{version}" in known]:
        raise InputError(
            f"multiplier {name!r}: the versions of EvoApproxLib share names; name it {' or '.join(versions)}"
        )
    close = get_close_matches(
        name, [*known, *(member.name for signed in (True, False) for member in usual(signed))], n=1
    )
    hint = f"did you mean {close[0]!r}?" if close else "see 'frugalnas list multipliers'"
    raise InputError(
        f"no multiplier {name!r}: expected a member of the family such as 8s-2-0-5, a published design such as "
        f"mul8s_1KX5@v2022, or a file that was saved; {hint}"
    )


@lru_cache(maxsize=64)
def _saved(path: str, changed: int, size: int) -> Multiplier:
    """A file is read again, and its table factored again, when it changes."""
    return Multiplier.load(path)


@lru_cache(maxsize=512)
def _member(design: Family) -> Multiplier:
    return Multiplier.family(design.ha, design.hb, design.v, design.signed, design.bits)


def published_names() -> dict[str, Family]:
    """Name and version of each published design that is a member of the family: mul8s_1KX5@v2022, and so on."""
    return {
        f"{name}@{version}": design
        for design, figures in (PUBLISHED | EXACT).items()
        for version, name in zip(VERSIONS, (figures.name, figures.older_name), strict=True)
    }


@lru_cache(maxsize=32)
def family_members(signed: bool = True, bits: int = BITS) -> tuple[Multiplier, ...]:
    """Every design of the family that keeps something, once; of two that differ in operand order the one with ha >= hb.

    In falling power. Its numbers are the tightest that describe it: every cut is one that removes something.
    """
    tightest: dict[frozenset[tuple[int, int]], Family] = {}
    for ha in range(BITS):
        for hb in range(bits if bits < BITS else ha + 1):
            for v in range(BITS + bits):
                kept = _kept(ha, hb, v, bits)
                if not kept or kept in tightest:
                    continue
                low_a, low_b = (min(pair[side] for pair in kept) for side in (0, 1))
                slant = 0 if kept == _kept(low_a, low_b, 0, bits) else min(map(sum, kept))
                design = Family(low_a, low_b, slant, signed, bits)
                tightest[kept] = design
    return tuple(sorted(map(_member, tightest.values()), key=lambda member: -member.power_mw))


def _kept(ha: int, hb: int, v: int, bits: int) -> frozenset[tuple[int, int]]:
    return frozenset((i, j) for i in range(ha, BITS) for j in range(hb, bits) if i + j >= v)


@lru_cache(maxsize=32)
def usual(signed: bool = True, bits: int = BITS) -> tuple[Multiplier, ...]:
    """The members that no other beats in both power and MAE, in falling power; the first is exact.

    Nor does a circuit without gates, whose product is 0 and power none. Left out is what saves less than 0.5 % of the
    exact one's power over the one before it, which the power model cannot tell from nothing.
    """
    front: list[Multiplier] = [Multiplier.family(BITS, bits, 0, signed, bits)]
    for member in sorted(family_members(signed, bits), key=lambda member: (member.power_mw, member.errors().mae)):
        if member.errors().mae < front[-1].errors().mae:
            front.append(member)
    least = 0.005 * front[-1].power_mw
    kept = [front[-1]]
    for member in reversed(front[1:-1]):
        if member.power_mw <= kept[-1].power_mw - least:
            kept.append(member)
    return tuple(kept)


def relative_power(multiplier: Multiplier) -> float:
    """The power of a multiplier as a share of that of the exact one of two 8-bit operands with its signedness."""
    return multiplier.power_mw / exact(all(multiplier.signed)).power_mw

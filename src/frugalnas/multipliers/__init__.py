"""Approximate multipliers as values: product tables, their errors, power, and where they come from. Needs no torch."""

from frugalnas.multipliers.multiplier import Multiplier

__all__ = ["Multiplier"]

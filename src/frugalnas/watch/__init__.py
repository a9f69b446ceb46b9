"""A page that follows studies, from their files alone: see docs/watch.md."""

from __future__ import annotations

from frugalnas.watch.serve import serve

__all__ = ["serve"]

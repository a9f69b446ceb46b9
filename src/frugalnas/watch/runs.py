"""The runs that are watched."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from frugalnas.watch import state
from frugalnas.watch.follow import Followed

MOST_FOLLOWED = 8  # runs that are held in memory


class Runs:
    """The runs that are watched: each is followed once, whoever looks at it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = [*paths]
        self.lock = Lock()
        self._followed: dict[str, Followed] = {}
        self._names: dict[str, Path] = {}
        self._look_again = 0.0

    def names(self) -> dict[str, Path]:
        """The folders by the name that the page has for them: only these are ever opened."""
        start = time.monotonic()
        if start >= self._look_again:
            found = state.runs_in(self.paths) or self.paths[:1]
            self._names = {str(path).encode("utf-8", "backslashreplace").decode(): path for path in found}
            took = time.monotonic() - start
            self._look_again = start + max(0.5, 20 * took)  # a twentieth of the time is enough for large folders
        return self._names

    def read(self, name: str | None) -> Followed | None:
        """The study of that name as its files tell it now; None for a name that is none of `names`."""
        if name is None or (name not in self._followed and name not in self.names()):
            return None
        study = self._followed.pop(name, None) or Followed(self.names()[name])
        self._followed[name] = study
        for oldest in [*self._followed][:-MOST_FOLLOWED]:  # one that is looked at again is read anew
            del self._followed[oldest]
        study.read()
        return study

    def known(self, name: str | None) -> Followed | None:
        """The study as it was when it was read last."""
        return self._followed.get(name or "") or self.read(name)

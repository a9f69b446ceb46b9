"""Going on with a study whose journal was damaged: what stands before the damage is kept, the rest is rated again."""

from __future__ import annotations

import logging
from itertools import count
from pathlib import Path

from frugalnas.core import InputError
from frugalnas.store import JOURNAL, LOCK, locked, sound_part, write_atomically
from frugalnas.weights import FOLDER, written_in

DAMAGED = "damaged"
_log = logging.getLogger(__name__)  # which, unless told otherwise, prints warnings on stderr


def repair(folder: Path) -> int:
    """Cut the journal in `folder` before its first line that does not add up; how many lines are kept.

    The file as it was stays beside it, as `journal.jsonl.damaged-1` or the next number that is free, and a warning says
    so. Trials after the damage are rated again when the study is resumed, with their own seeds. Shared weights that
    know more than the kept lines are set aside too. A sound journal is left alone. Raises InputError where there is
    none, where its first line, which says what the study is, is damaged, and while another process has it open.
    """
    path = folder / JOURNAL
    if not path.is_file() or path.is_symlink():
        raise InputError(f"{folder} holds no study: there is no {JOURNAL} in it")
    with locked(folder / LOCK, f"{folder} is open in another process"):
        events, length, damaged = sound_part(folder)
        if not events:
            raise InputError(f"{path} line 1 is damaged, which says what the study is: it has to be started anew")
        if not damaged:
            _log.warning("frugalnas: %s is sound, there is nothing to repair", path)
            return len(events)
        copy, data = _free(path), path.read_bytes()
        write_atomically(copy, data)
        write_atomically(path, data[:length])
        _log.warning(
            "frugalnas: %s was damaged in line %d and is cut before it, the file as it was is %s",
            *(path, len(events) + 1, copy.name),
        )
        inherited = max((event.get("inherits") or 0 for event in events), default=0)
        if written_in(folder) not in (None, inherited):
            aside = _free(folder / FOLDER)
            (folder / FOLDER).rename(aside)
            _log.warning("frugalnas: the shared weights are ahead of the kept lines and are now %s", aside)
    return len(events)


def _free(path: Path) -> Path:
    """A name beside `path` that nothing has yet."""
    names = (path.with_name(f"{path.name}.{DAMAGED}-{number}") for number in count(1))
    return next(name for name in names if not name.exists() and not name.is_symlink())

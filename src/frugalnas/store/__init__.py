"""What a run folder keeps: the journal that a study is rebuilt from, how long it took, and files that are whole."""

from frugalnas.store.clock import TIMES, elapsed_in, entries_of, times, times_in
from frugalnas.store.events import ask_event, candidate_of, tell_event, trial_of, trials_in, trials_of
from frugalnas.store.files import LOCK, locked, regular, write_atomically
from frugalnas.store.journal import Journal
from frugalnas.store.lines import (
    FORMAT,
    JOURNAL,
    Damaged,
    Event,
    damaged,
    event_of,
    foreign,
    header_of,
    read,
    sound_part,
    stream,
)

__all__ = [
    "FORMAT",
    "JOURNAL",
    "LOCK",
    "TIMES",
    "Damaged",
    "Event",
    "Journal",
    "ask_event",
    "candidate_of",
    "damaged",
    "elapsed_in",
    "entries_of",
    "event_of",
    "foreign",
    "header_of",
    "locked",
    "read",
    "regular",
    "sound_part",
    "stream",
    "tell_event",
    "times",
    "times_in",
    "trial_of",
    "trials_in",
    "trials_of",
    "write_atomically",
]

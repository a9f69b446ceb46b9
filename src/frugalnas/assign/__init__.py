"""Multipliers for a trained network: which approximate one each layer can do with, within a limit of the error."""

from frugalnas.assign.estimate import Subject
from frugalnas.assign.files import load
from frugalnas.assign.job import Job, holds_job
from frugalnas.assign.network import approximate
from frugalnas.assign.outcome import Approximated
from frugalnas.assign.run import Assigned, Watch, resume, run
from frugalnas.assign.search import Settings
from frugalnas.assign.space import Assignments, Layer, default_multipliers, ordered, twins
from frugalnas.assign.text import PAGE, json_of, text_of

__all__ = [
    "PAGE",
    "Approximated",
    "Assigned",
    "Assignments",
    "Job",
    "Layer",
    "Settings",
    "Subject",
    "Watch",
    "approximate",
    "default_multipliers",
    "holds_job",
    "json_of",
    "load",
    "ordered",
    "resume",
    "run",
    "text_of",
    "twins",
]

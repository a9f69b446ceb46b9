"""TensorBoard, by the event files of its own library, which needs neither TensorFlow nor torch."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from frugalnas.core import InputError
from frugalnas.loggers.record import Point, Told

FOLDER = "tensorboard"


class TensorBoard:
    """Scalars by the number of told trials in `tensorboard/` of the run folder; settings as hyper-parameters."""

    def __init__(self, folder: Path) -> None:
        if find_spec("tensorboard") is None:
            raise InputError("--tensorboard needs TensorBoard: pip install 'frugalnas[tensorboard]'")
        self.folder = folder / FOLDER
        if self.folder.is_symlink():  # in a folder from somebody else it may lead anywhere
            raise InputError(f"{self.folder} is a link to another folder")
        self._told = 0
        self._writer: Any = None

    def open(self, told: Told) -> int:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._told = last_step(self.folder)
        self._writer = EventFileWriter(str(self.folder), flush_secs=2)
        if not self._told:
            settings = {name: value for name, value in told.settings.items() if value != ""}
            self._writer.add_event(Event(summary=hparams_pb(settings, trial_id=told.name)))
            lines = "\n".join(f"    {name} = {value}" for name, value in told.settings.items())
            self._text("settings", lines)
        return self._told

    def write(self, points: Sequence[Point]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        for point in points:
            values = [Summary.Value(tag=name, simple_value=value) for name, value in point.values.items()]
            self._writer.add_event(Event(wall_time=point.time, step=point.told, summary=Summary(value=values)))
            self._told = point.told
        self._writer.flush()

    def close(self, front: str, ended: bool) -> None:
        self._text("front", front)
        self._writer.close()

    def _text(self, name: str, words: str) -> None:
        """Text in Markdown, as TensorBoard's plugin for texts reads it."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

        plugin = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype="DT_STRING", string_val=[words.encode()], tensor_shape=shape)
        summary = Summary(value=[Summary.Value(tag=name, metadata=plugin, tensor=tensor)])
        self._writer.add_event(Event(step=self._told, summary=summary))


def last_step(folder: Path) -> int:
    """The largest step in the event files of a folder; 0 without any."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    last = 0
    for file in sorted(folder.glob("events.out.tfevents.*")):
        for raw in RawEventFileLoader(str(file)).Load():
            last = max(last, Event.FromString(raw).step)
    return last

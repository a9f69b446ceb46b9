"""Parts of networks as people see them: what a drawing and a text show."""

from __future__ import annotations

from dataclasses import dataclass

Line = tuple[str, tuple[int, ...]]  # what is done, and the states that it is done on, concatenated if several


@dataclass(frozen=True, slots=True)
class Box:
    """A state that is made: the sum of its lines. A line without states is a remark on what is done."""

    name: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Diagram:
    """States: first the `inputs`, by name, then one for each box. `output`: the states whose concatenation is it."""

    inputs: tuple[str, ...]
    boxes: tuple[Box, ...]
    output: tuple[int, ...]

    def name(self, state: int) -> str:
        """What a state is called."""
        return (*self.inputs, *(box.name for box in self.boxes))[state]

"""One supernet: the weights that all networks of stacked cells share, and the networks as paths through it.

As in RelativeNAS (Tan et al. 2021) an operation has the same weights in every network that has it between the same two
states of the same cell; stem, pre-processing and classifier are every network's.

Differences from the released code
- A path is a network that has nothing but its own operations, and they are the supernet's own: nothing is built, and
  no weight copied, for another candidate. (There, every candidate builds all operations and copies all weights.)
- An operation is made when a first network needs it. Its first weights follow from a seed and from its place, so that
  it does not matter which networks came before.
- Where the widths of cells depend on the genotype (blocks that are concatenated only if no other reads them), layers
  are shared by the networks in which they have the same size.

Kept from it: two equal edges of a block, the same operation on the same state, are one operation here, and two with
weights of their own in a network that is trained by itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from frugalnas.layers.cell import CellNetwork
from frugalnas.layers.network import Network
from frugalnas.layers.ops import module
from frugalnas.layers.plan import Layers


@dataclass(frozen=True, eq=False)
class Path:
    """A network whose modules are a supernet's. `parts`: those modules by the name of their place."""

    network: CellNetwork
    parts: dict[str, nn.Module]

    def tensors(self) -> dict[str, Tensor]:
        """Weights and buffers of the path by name: not copies, what is written into them is written into the supernet.

        A network that is moved to another device afterwards has others.
        """
        parts = self.parts.items()
        return {f"{part}.{name}": tensor for part, own in parts for name, tensor in own.state_dict().items()}


class Supernet:
    """The shared weights, by place. `start`: the seed of their first values."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._made: dict[str, nn.Module] = {}
        self._first: dict[str, Tensor] = {}

    def path(self, network: Network) -> Path:
        """The network of a plan, of shared modules. torch's global generator is left as it was."""
        parts: dict[str, nn.Module] = {}

        def shared(place: str, layers: Layers) -> nn.Module:
            name = f"{place}.{_digest(repr(layers), 4):08x}"
            parts[name] = self._at(name, layers)
            return parts[name]

        with torch.random.fork_rng(devices=[]):
            return Path(CellNetwork(network, shared), parts)

    def first(self, name: str) -> Tensor:
        """The first value of a tensor of some path, on the CPU."""
        return self._first[name]

    @property
    def params(self) -> int:
        """Learned numbers in all that paths have needed so far."""
        return sum(weight.numel() for made in self._made.values() for weight in made.parameters())

    def _at(self, name: str, layers: Layers) -> nn.Module:
        if name not in self._made:
            torch.manual_seed(_digest(f"{self._start} {name}", 8))
            self._made[name] = made = module(layers)
            self._first |= {f"{name}.{key}": tensor.clone() for key, tensor in made.state_dict().items()}
        return self._made[name]


def _digest(text: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest())

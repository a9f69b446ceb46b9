"""The source code of a network, written from its plan; it needs nothing but torch.

It is what one would write by hand: a function for each operation, a class for each kind of cell, and the network. The
code of a network that is a graph is its nodes in turn, see `export.graph_source`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

from frugalnas import __version__
from frugalnas.export.expressions import WIDTH, Call, expression, quoted, sequential, variable
from frugalnas.export.graph_source import modules, steps
from frugalnas.layers import plan
from frugalnas.layers.graph import Graph
from frugalnas.layers.network import Network
from frugalnas.layers.plan import OPERATIONS, Cell, edges, factorised_reduction, projection, squeeze_excitation
from frugalnas.spaces.architecture import Architecture

CHANNELS, INPUTS, OUTPUTS, HIDDEN = map(variable, ("channels", "inputs", "outputs", "hidden"))
HALVED = factorised_reduction(CHANNELS, CHANNELS)
PLACES = ("first", "second")  # of an edge in its block
LOAD = '''def load(path: str) -> Network:
    """The network with the weights in a file, in evaluation mode."""
    network = Network()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()
'''


def source(
    architecture: Architecture, classes: Sequence[str] = (), mean: Sequence[float] = (), std: Sequence[float] = ()
) -> str:
    """A Python module with the class `Network` and the function `load`, which reads the weights of one.

    `Network()` has fresh weights; the keys of its `state_dict` are those that `renamed` gives. With `mean` and `std`
    (of pixels / 255, a number for each channel) it takes float32 pixels (N, C, H, W) from 0 to 255, without them
    images that are normalised already. It gives logits (N, classes). `classes` are the names by label.
    """
    network = architecture.space.network(architecture.genotype)
    if isinstance(network, Graph):
        definitions = [_of_graph(network, bool(mean)), LOAD]
    else:
        cells = [_cell(network, reduction) for reduction in (False, True)]
        definitions = [*_functions(network), *cells, _of_cells(network, bool(mean)), LOAD]
    parts = [*_torch_modules("".join(definitions)), *definitions]
    functional = "\nfrom torch.nn import functional as F" if any("F." in part for part in parts) else ""
    head = _head(architecture, bool(mean)) + functional + _constants(classes, mean, std)
    return "\n\n\n".join([head, *parts])


def renamed(key: str) -> str:
    """What a tensor of `CellNetwork` or `GraphNetwork` is called in the source code: `nodes.7.0.weight` becomes
    `node7.0.weight`, and `cells.3.blocks.1.edges.0.4.weight` becomes `cells.3.block3_first.4.weight`."""
    key = re.sub(r"blocks\.(\d+)\.edges\.(\d+)", lambda found: _edge(int(found[1]), int(found[2])), key)
    key = re.sub(r"outputs\.(\d+)", r"output\1", key)
    key = re.sub(r"^(stem|nodes)\.(\d+)", lambda found: f"{found[1].removesuffix('s')}{found[2]}", key)
    return re.sub(r"^classifier", "classifier.2", key)  # behind the mean over the map


def _edge(block: int, place: int) -> str:
    return f"block{2 + block}_{PLACES[place]}"


def _head(architecture: Architecture, takes_pixels: bool) -> str:
    space, count = architecture.space, architecture.space.count(architecture.genotype)
    shape = f"(N, {space.in_channels}, {space.resolution}, {space.resolution})"
    images = "pixels from 0 to 255" if takes_pixels else "normalised"
    return f'''"""A network written by FrugalNAS {__version__}. It needs only torch.

    from network import load

    network = load("weights.pt")
    logits = network(images)

{space.summary}
images: float32 {shape}, {images}; logits: (N, {space.classes}).
{count.params:,} parameters, {count.macs:,} multiply-accumulates an image.
"""

import torch
from torch import Tensor, nn'''


def _constants(classes: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> str:
    """Tuples by name; "" where there are none."""
    named = {"CLASSES": [*map(quoted, classes)], "MEAN": [*map(repr, mean)], "STD": [*map(repr, std)]}
    lines: list[str] = []
    for name, values in named.items():
        line = f"{name} = ({', '.join(values)}{',' if len(values) == 1 else ''})"
        if values:
            lines += [line] if len(line) <= WIDTH else [f"{name} = (", *(f"    {value}," for value in values), ")"]
    return "\n".join(["", "", *lines]) if lines else ""


def _torch_modules(code: str) -> list[str]:
    """The code of the modules that `code` uses and torch has not."""
    from frugalnas.layers import ops

    modules = (ops.Shift, ops.Take, ops.Pad, ops.Zero, ops.Residual, ops.Gate, ops.Parallel)
    return [inspect.getsource(module).rstrip() for module in modules if f"{module.__name__}(" in code]


def _functions(network: Network) -> list[str]:
    """How a cell brings its inputs to its width, and the operations that have weights."""
    used = {
        (operation, site.stride(state))
        for cell, site in network.cells
        for block in cell.blocks
        for operation, state in edges(block)
    }
    inputs, channels = "inputs: int, outputs: int", "channels: int"
    functions = [
        ("projection", inputs, projection(INPUTS, OUTPUTS)),
        ("factorised_reduction", inputs, factorised_reduction(INPUTS, OUTPUTS)),
    ]
    if network.skeleton.squeeze:
        functions.append(("squeeze_excitation", f"{channels}, hidden: int", squeeze_excitation(CHANNELS, HIDDEN)))
    for operation, stride in sorted(used):
        made = _made(operation, stride)
        if made and made.name == _function(operation, stride):
            functions.append((made.name, channels, OPERATIONS[operation](CHANNELS, stride)))
    return [
        "\n".join([f"def {name}({arguments}) -> nn.Sequential:", *sequential(layers).lines(4, "return ")])
        for name, arguments, layers in functions
    ]


def _function(operation: str, stride: int) -> str:
    return operation if stride == 1 else f"{operation}_stride2"


def _made(operation: str, stride: int) -> Call | None:
    """What makes the module of an edge; None for the identity."""
    match OPERATIONS[operation](CHANNELS, stride):
        case ():
            return None
        case (plan.MaxPool() | plan.AvgPool() | plan.Zero() as layer,):
            return expression(layer)
        case layers if layers == HALVED:
            return Call("factorised_reduction", ("channels", "channels"))
        case _:
            return Call(_function(operation, stride), ("channels",))


def _needed(cell: Cell) -> set[int]:
    """The states that the output depends on."""
    needed = set(cell.concat)
    for number, block in reversed([*enumerate(cell.blocks)]):
        needed |= {state for _, state in edges(block)} if 2 + number in needed else set()
    return needed


def _cell(network: Network, reduction: bool) -> str:
    """The class of a kind of cell."""
    cell, site = next((cell, site) for cell, site in network.cells if site.reduction == reduction)
    needed = _needed(cell)
    made = ["        self.newer = projection(newer, channels)"]
    run = [f"s{state} = self.{name}({name})" for state, name in enumerate(("older", "newer")) if state in needed]
    for number, block in enumerate(cell.blocks):
        terms = []
        for place, (operation, state) in enumerate(edges(block)):
            name, call = f"self.{_edge(number, place)}", _made(operation, site.stride(state))
            made += call.lines(8, f"{name} = ") if call else ()
            terms.append(f"{name}(s{state})" if call else f"s{state}")
        run += [f"s{2 + number} = {' + '.join(terms)}"] if 2 + number in needed else []
    outputs = []
    for place, state in enumerate(cell.concat):
        made += [f"        self.output{place} = factorised_reduction(channels, channels)"] if site.output(state) else []
        outputs.append(f"self.output{place}(s{state})" if site.output(state) else f"s{state}")
    joined = Call("torch.cat", (Call("", tuple(outputs)), "dim=1"))
    if squeeze := site.squeeze:
        made += [f"        wide = {len(cell.concat)} * channels"]
        made += [f"        self.excitation = squeeze_excitation(wide, max(1, wide // {squeeze}))"]
        joined = Call("self.excitation", (joined,))
    run += joined.lines(0, "return ")
    size = "ceil(H / 2), ceil(W / 2)" if reduction else "H, W"
    return f'''class {_class(reduction)}(nn.Module):
    """Outputs of the cell before the last and of the last -> (N, C, {size}).

    They become the states s0 and s1; each block adds up its operations to the next.
    C is {len(cell.concat)} * channels. `halve_older`: that output is twice as large.
    """

    def __init__(
        self, older: int, newer: int, channels: int, halve_older: bool = False
    ) -> None:
        super().__init__()
        narrow = factorised_reduction if halve_older else projection
        self.older = narrow(older, channels)
{_text(made)}

    def forward(self, older: Tensor, newer: Tensor) -> Tensor:
{_text(run, 8)}'''


def _class(reduction: bool) -> str:
    return "ReductionCell" if reduction else "NormalCell"


def _text(lines: Iterable[str], indent: int = 0) -> str:
    return "\n".join(" " * indent + line for line in lines)


def _of_graph(graph: Graph, takes_pixels: bool) -> str:
    made, run = _normalisation(takes_pixels)
    return _class_of_network([*made, *modules(graph)], [*run, *steps(graph)])


def _normalisation(takes_pixels: bool) -> tuple[list[str], list[str]]:
    """What a network that takes pixels from 0 to 255 makes and runs first."""
    if not takes_pixels:
        return [], []
    made = []
    for name in ("mean", "std"):
        made += [f"        {name} = 255 * torch.tensor({name.upper()}).view(-1, 1, 1)"]
        made += [f'        self.register_buffer("{name}", {name}, persistent=False)']
    return made, ["        images = (images - self.mean) / self.std"]


def _class_of_network(made: Iterable[str], run: Iterable[str]) -> str:
    return f'''class Network(nn.Module):
    """Images (N, C, H, W) -> logits (N, classes)."""

    def __init__(self) -> None:
        super().__init__()
{_text(made)}

    def forward(self, images: Tensor) -> Tensor:
{_text(run)}'''


def _of_cells(network: Network, takes_pixels: bool) -> str:
    first, second = network.skeleton.stems()
    cells = []
    for number, (cell, site) in enumerate(network.cells):
        shape = ", ".join(map(str, (len(cell.concat) * site.channels, *site.size)))
        halved = ("halve_older=True",) if site.after_reduction else ()
        arguments = (str(site.older[0]), str(site.newer[0]), str(site.channels), *halved)
        cells += [f"# cell {number}: (N, {shape})", f"{Call(_class(site.reduction), arguments)},"]
    made, run = _normalisation(takes_pixels)
    made += sequential(first).lines(8, "self.stem0 = ")
    made += sequential(second).lines(8, "self.stem1 = ") if second else ()
    made += [
        "        self.cells = nn.ModuleList(",
        "            [",
        *(" " * 16 + line for line in cells),
        "            ]",
        "        )",
        *sequential(network.skeleton.classifier(network.output[0])).lines(8, "self.classifier = "),
    ]
    run += ["        older = newer = self.stem0(images)"]
    run += ["        newer = self.stem1(older)"] if second else []
    run += [
        "        for cell in self.cells:",
        "            older, newer = newer, cell(older, newer)",
        "        return self.classifier(newer)",
    ]
    return _class_of_network(made, run)

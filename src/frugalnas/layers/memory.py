"""How much memory an inference takes, from formulas. Needs no torch."""

from __future__ import annotations

from functools import lru_cache
from math import prod

from frugalnas.layers import plan
from frugalnas.layers.cost import FLOAT_BYTES, shape_after
from frugalnas.layers.network import Network, Site
from frugalnas.layers.plan import OPERATIONS, Cell, Layers, Pair, Shape, edges, released


def peak_bytes(network: Network) -> int:
    """The most bytes of float32 activations alive at a time in one inference of one image, as `CellNetwork` runs it.

    Alive are the image, which the caller keeps; the outputs of the two cells before, the older only until the cell has
    pre-processed that; the states of the cell, each until the last block that reads it is done or, where it belongs to
    the output, until that is concatenated; the results of a block's two operations until they are added up; and what
    `peak` says within an operation. Not counted: the weights, index buffers of max pooling, workspaces inside a kernel.
    """
    skeleton = network.skeleton
    image = (skeleton.in_channels, skeleton.resolution, skeleton.resolution)
    first, second = skeleton.stems()
    older = shape_after(first, image)
    most = max(peak(first, image), prod(older) + peak(second, older))
    places = {
        (cell, site, 0 if number == 0 and not second else prod(site.older))  # a small stem gives one map, not two
        for number, (cell, site) in enumerate(network.cells)
    }
    most = max(most, *(_cell_peak(cell, site, older) for cell, site, older in places))
    classifier = skeleton.classifier(network.output[0])
    most = max(most, prod(network.output) + peak(classifier, network.output))
    return FLOAT_BYTES * (prod(image) + most)


@lru_cache(maxsize=1 << 14)
def _edge(operation: str, channels: int, stride: int, size: Pair) -> tuple[int, int]:
    return alive_within(OPERATIONS[operation](channels, stride), (channels, *size))


def _cell_peak(cell: Cell, site: Site, older: int) -> int:
    """The most elements alive while a cell runs, its inputs included."""
    state, output = (site.channels, *site.newer[1:]), (site.channels, *site.size)
    newer = prod(site.newer)
    inputs = site.inputs()
    most = newer + max(older + peak(inputs[0], site.older), prod(state) + peak(inputs[1], site.newer))
    sizes, kept, owners, alive = {0: state, 1: state}, {0: prod(state), 1: prod(state)}, {0: 0, 1: 1}, {0, 1}
    for number, (block, gone) in enumerate(zip(cell.blocks, released(cell), strict=False)):
        alive -= set(gone)
        held = newer + held_by(alive, owners, kept)
        summands = edges(block)
        made = 2 + number
        sizes[made], kept[made], owners[made] = output, prod(output), made
        for operation, read in summands:
            within, result = _edge(operation, site.channels, site.stride(read), sizes[read][1:])
            most = max(most, held + within)
            held += result
            if len(summands) == 1:
                kept[made], owners[made] = result, made if result else owners[read]
        if len(summands) == 2:
            most = max(most, held + prod(output))
        alive.add(made)
    alive -= set(released(cell)[-1])
    held = newer + held_by(alive, owners, kept)
    for read in cell.concat:
        layers = site.output(read)
        most = max(most, held + peak(layers, sizes[read]))
        held += prod(output) if layers else 0
    width = len(cell.concat) * site.channels
    gate = peak(site.excitation(len(cell.concat)), (width, *site.size))
    return max(most, held + width * prod(site.size), newer + width * prod(site.size) + gate)


def held_by(alive: set[int], owners: dict[int, int], kept: dict[int, int]) -> int:
    """The elements of the maps `alive`, given which one owns the memory of each and how many elements that keeps."""
    return sum(kept[owner] for owner in {owners[state] for state in alive})


def peak(layers: Layers, shape: Shape) -> int:
    """The most float elements alive at a time, beside the input of `shape`, while layers run one after another.

    A layer's result and its input are alive together, and the input is let go when the layer is done. ReLUs marked
    `in_place`, flattening, taking channels and shifting even sides allocate nothing. Index buffers of max pooling and
    the workspaces inside a kernel are not counted.
    """
    return alive_within(layers, shape)[0]


@lru_cache(maxsize=1 << 14)
def alive_within(layers: Layers, shape: Shape) -> tuple[int, int]:
    """What `peak` says, and the elements that the result keeps: 0 where it is the input, a whole map where a part."""
    held = most = 0
    for layer in layers:
        after = shape_after((layer,), shape)
        if not _is_view(layer, shape):
            most = max(most, held + _allocated(layer, shape, after))
            held = prod(after)
        shape = after
    return most, held


def _is_view(layer: plan.Layer, shape: Shape) -> bool:
    match layer:
        case plan.ReLU(in_place):
            return in_place
        case plan.Shift(fill):
            return not fill or shape[1] % 2 == shape[2] % 2 == 0
        case _:
            return isinstance(layer, plan.Flatten | plan.Take)


def _allocated(layer: plan.Layer, before: Shape, after: Shape) -> int:
    """The most elements alive beside the layer's input, its result included."""
    match layer:
        case plan.Residual(layers):
            return max(peak(layers, before), 2 * prod(after))
        case plan.Gate(layers):
            return max(peak(layers, before), before[0] + prod(after))
        case plan.Parallel(branches):
            held = most = 0
            for branch in branches:
                most = max(most, held + peak(branch, before))
                held += prod(shape_after(branch, before))
            return max(most, held + prod(after))
        case _:
            return prod(after)

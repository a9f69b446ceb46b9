"""A training that is under way, or over, as the bytes of a `.safetensors` file: tensors, and as metadata a JSON text.

One under way is the weights, the momentum of SGD, the averaged weights and the scale of the loss, one that is over the
weights of the network. A checksum covers all of it, as the format has none of its own. Read, never executed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from frugalnas.core import InputError
from frugalnas.store import regular
from frugalnas.tasks.loop import Learner

_CONTENT, _CHECKSUM = "frugalnas", "sum"  # keys of the metadata


def packed(parts: Learner, training: str, content: Mapping[str, Any]) -> bytes:
    """The bytes from which `unpack` restores `parts` and gives `content`, plain JSON values.

    `training`: any text that says which training it is. Raises FloatingPointError where a weight is NaN or infinite.
    """
    steps = None if parts.average is None else int(parts.average.n_averaged)
    state = {"content": dict(content), "averaged": steps, "scaler": parts.scaler.state_dict()}
    return _sealed(_tensors(parts), training, state)


def packed_weights(network: nn.Module, training: str, content: Mapping[str, Any]) -> bytes:
    """The same of the weights and buffers of a network alone, for `unpack_weights`."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    return _sealed(_on_cpu(tensors), training, {"content": dict(content)})


def _sealed(tensors: dict[str, Tensor], training: str, state: Mapping[str, Any]) -> bytes:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise FloatingPointError(f"the training made {name.partition('.')[2]} NaN or infinite")
    text = json.dumps({"training": zlib.crc32(training.encode()), **state})
    return save(tensors, {_CONTENT: text, _CHECKSUM: _checksum(tensors, text)})


def unpack(path: Path, parts: Learner, training: str) -> dict[str, Any]:
    """Restore `parts`, built as those that were packed; returns the content.

    Raises InputError for a damaged file, and for one of another training.
    """
    tensors, state = _opened(path, training)
    try:
        _restore(parts, tensors)
        parts.scaler.load_state_dict(state["scaler"])
        if parts.average is not None:
            parts.average.n_averaged.fill_(state["averaged"])
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path} has the weights of another network") from None
    content: dict[str, Any] = state["content"]
    return content


def unpack_weights(path: Path, network: nn.Module, training: str) -> dict[str, Any]:
    """Restore the weights of a network, built as the one that was packed; returns the content.

    Raises InputError as `unpack`.
    """
    tensors, state = _opened(path, training)
    try:
        network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in tensors.items()})
    except RuntimeError:
        raise InputError(f"{path} has the weights of another network") from None
    content: dict[str, Any] = state["content"]
    return content


def _opened(path: Path, training: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(regular(path, None), framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (it is no mapping)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is damaged, it is no .safetensors file: {error}") from None
    text = metadata.get(_CONTENT, "")
    if metadata.get(_CHECKSUM) != _checksum(tensors, text):
        raise InputError(f"{path} does not match its checksum: it was edited or damaged")
    try:
        state: dict[str, Any] = json.loads(text)
        if state["training"] != zlib.crc32(training.encode()):
            raise InputError(f"{path} belongs to another training")
        return tensors, state | {"content": dict(state["content"])}
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} holds no training") from None


def _tensors(parts: Learner) -> dict[str, Tensor]:
    """All tensors on the CPU; the momentum of a weight by the weight's name."""
    tensors = {f"network.{name}": tensor for name, tensor in parts.network.state_dict().items()}
    if parts.average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in parts.average.module.state_dict().items()}
    for name, weight in parts.network.named_parameters():
        momentum = parts.optimiser.state[weight].get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{name}"] = momentum
    return _on_cpu(tensors)


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


@torch.no_grad()
def _restore(parts: Learner, tensors: Mapping[str, Tensor]) -> None:
    for name, weight in parts.network.named_parameters():
        if f"momentum.{name}" in tensors:
            buffer = torch.empty_like(weight)  # with the weight's memory layout, which the fused optimiser relies on
            parts.optimiser.state[weight]["momentum_buffer"] = buffer.copy_(tensors[f"momentum.{name}"])
    for part, module in (("network", parts.network), ("average", parts.average and parts.average.module)):
        if module is not None:
            prefix = f"{part}."
            state = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            module.load_state_dict(state)


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    checksum = zlib.crc32(text.encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].numpy().tobytes(), zlib.crc32(name.encode(), checksum))
    return f"{checksum:08x}"

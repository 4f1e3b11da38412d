"""Models and optimizers from the tensors of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vocabula.errors import CheckpointError
from vocabula.quantizers.pending import is_pending


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as ``"index.key"`` -> tensor."""
    return {
        f"{index}.{key}": value
        for index, entry in optimizer.state_dict()["state"].items()
        for key, value in entry.items()
        if isinstance(value, Tensor)
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Set the optimizer's state; learning rates and the like stay as configured.

    Tensors of a parameter's shape take over its memory format, so that the arithmetic after
    resuming runs through the same kernels, bit for bit.

    Raises:
        CheckpointError: if the state belongs to another model.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        position = int(index)
        if position >= len(parameters):
            raise CheckpointError(
                f"optimizer state: expected {len(parameters)} parameters, got one numbered "
                f"{position}; resume with the model that wrote the checkpoint"
            )
        parameter = parameters[position]
        if value.shape == parameter.shape and value.ndim > 0:
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        state.setdefault(position, {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def load_model(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Set the model's parameters and buffers in place.

    Raises:
        CheckpointError: if names or shapes differ.
    """
    own = {name: t for name, t in model.state_dict().items() if not is_pending(name)}
    different = sorted(own.keys() ^ {name for name in tensors if not is_pending(name)})
    different += [k for k in own.keys() & tensors.keys() if own[k].shape != tensors[k].shape]
    if different:
        raise CheckpointError(
            f"checkpoint: expected the tensors of this model, got a difference in {different[0]}; "
            "resume with the configuration that wrote it"
        )
    model.load_state_dict(dict(tensors))

"""A model's tensors as a safetensors file, and their identity as a hash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn

from vocabula import registry
from vocabula.errors import CheckpointError, first_line
from vocabula.files import in_stable_order, input_error, utf8_path, write_bytes
from vocabula.quantizers import ResidualQuantizer
from vocabula.quantizers.pending import VAIN, is_pending
from vocabula.tokenizers import identity, look


def unique_tensors(module: nn.Module, *, without: Sequence[str] = ()) -> dict[str, Tensor]:
    """The state of a module by name, each shared tensor once, under its first name.

    safetensors refuses two names for one storage; a module that shares a codebook between stages
    shares it again when rebuilt, so one copy fills both. What only the next updates of a run need
    is left out.

    Args:
        module: the module.
        without: paths of submodules that are left out.
    """
    state: dict[str, Tensor] = module.state_dict()
    within = tuple(f"{path}." for path in without)
    unique: dict[str, Tensor] = {}
    seen: set[tuple[object, ...]] = set()
    for name in sorted(state):
        if name.rpartition(".")[2] == VAIN or name.startswith(within):
            continue
        tensor = state[name]
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if tensor.numel() and not tensor.is_meta and key in seen:
            continue
        seen.add(key)
        unique[name] = tensor
    return unique


def write_weights(module: nn.Module, path: Path, *, half: bool = False) -> None:
    """Write a module's tensors and the hash of their bytes to a safetensors file.

    Args:
        module: the model.
        path: the file.
        half: write float32 tensors in 16 bits if float16 holds each of their numbers exactly, as
            it does after `vocabula.tokenizers.half.round_to_half`. They are read as float32.

    Raises:
        OSError: the file cannot be written.
    """
    tensors = {n: t.detach().cpu().contiguous().clone() for n, t in unique_tensors(module).items()}
    metadata = {"format": "pt", "library": "vocabula", "sha256": digest(tensors)}
    if half and all(tensor.dtype != torch.float16 for tensor in tensors.values()):
        tensors = {name: _narrowed(tensor) for name, tensor in tensors.items()}
        metadata[identity.STORED] = identity.HALF
    # the library's own writing to files ignores the umask
    write_bytes(path, *in_stable_order(save(tensors, metadata=metadata)))


def read_weights(module: nn.Module, path: Path) -> None:
    """Fill a module with the tensors of a safetensors file; on an error nothing is changed.

    Raises:
        CheckpointError: the file is damaged or unreadable, or its tensors do not match the module.
    """
    try:
        with utf8_path(path) as place, safetensors.safe_open(place, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get(identity.STORED) == identity.HALF:
            tensors = {n: t.float() if t.dtype == torch.float16 else t for n, t in tensors.items()}
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise input_error(path, error, CheckpointError) or CheckpointError(
            f"{path}: expected a safetensors file, got a damaged one ({first_line(error)}); "
            "copy the folder again or take an earlier checkpoint"
        ) from None
    if "sha256" in metadata and metadata["sha256"] != digest(tensors):
        raise CheckpointError(
            f"{path}: expected tensors with the hash in its header, got others: the file is "
            "damaged; copy the folder again or take an earlier checkpoint"
        )
    waiting = {name: tensor for name, tensor in tensors.items() if is_pending(name)}
    learned = {name: tensor for name, tensor in tensors.items() if name not in waiting}
    _leave_out_scales(module, learned)
    own = {n: t for n, t in unique_tensors(module).items() if not is_pending(n)}
    _compare(own, learned, path)
    _adopt_dtype(module, learned)
    module.load_state_dict(learned | waiting, strict=False)


def take_over(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Fill parts of a module with the tensors of another one of the same settings."""
    taken = dict(tensors)
    _leave_out_scales(module, taken)
    module.load_state_dict(taken, strict=False)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of tensors: names, types, shapes and bytes, in the order of the names."""
    return identity.digest(_bytes(tensors))


def fingerprint(module: nn.Module) -> str:
    """SHA-256 (hex) that identifies what a model computes; see `identity.fingerprint`."""
    kind = str(module.component_kind)
    return identity.fingerprint(kind, registry.spec(module), _bytes(unique_tensors(module)))


def codes_digest(tokenizer: nn.Module) -> str:
    """SHA-256 (hex) of what a tokenizer's codes depend on; see `look.codes_digest`."""
    settings = registry.spec(tokenizer)
    # a tensor that codes share with the look has its first name there
    tensors = unique_tensors(tokenizer, without=look.look_paths(settings))
    return look.codes_digest(settings, _bytes(tensors))


def _bytes(tensors: Mapping[str, Tensor]) -> Iterator[identity.Bytes]:
    """Tensors as bytes, one after the other, in the order of their names."""
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        data = tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b""
        yield identity.Bytes(name, str(tensor.dtype), tuple(tensor.shape), data)


def _narrowed(tensor: Tensor) -> Tensor:
    """A float32 tensor as float16 if each of its numbers is one; others as they are."""
    if tensor.dtype != torch.float32:
        return tensor
    narrow = tensor.half()
    return narrow if torch.equal(narrow.float(), tensor) else tensor


def _leave_out_scales(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Keep the stages of residual quantizers that were saved without scales as they were."""
    for name, part in module.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(part, ResidualQuantizer) and f"{prefix}stage_scales.weight" not in tensors:
            part.unscale()


def _compare(own: Mapping[str, Tensor], read: Mapping[str, Tensor], path: Path) -> None:
    """Check that names and shapes agree."""
    missing, extra = sorted(own.keys() - read.keys()), sorted(read.keys() - own.keys())
    if missing or extra:
        what = f"no {missing[0]}" if missing else f"an unknown {extra[0]}"
        raise CheckpointError(
            f"{path}: expected the {len(own)} tensors that config.json describes, got {what}; "
            "the two files are not of one model: copy both from the same folder"
        )
    for name, tensor in own.items():
        if tensor.shape != read[name].shape:
            raise CheckpointError(
                f"{path}: expected {name} of shape {tuple(tensor.shape)}, got "
                f"{tuple(read[name].shape)}; config.json and model.safetensors are not of one "
                "model: copy both from the same folder"
            )


def _adopt_dtype(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give the module the floating-point type of the saved parameters, if they agree on one."""
    parameters = [name for name, _ in module.named_parameters() if name in tensors]
    dtypes = {tensors[name].dtype for name in parameters}
    if len(dtypes) == 1 and (dtype := dtypes.pop()).is_floating_point:
        module.to(dtype)

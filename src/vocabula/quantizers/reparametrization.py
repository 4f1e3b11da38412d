"""Codebooks that are the output of a network, which moves all codewords together."""

from __future__ import annotations

import copy
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor, nn

from vocabula.errors import OptionError
from vocabula.functional import readable, transforming
from vocabula.functional.modes import without_autocast
from vocabula.quantizers.learning import Codebook, LearningRule
from vocabula.quantizers.shards import OwnParameters, is_part, whole
from vocabula.quantizers.transforms import CodebookTransform
from vocabula.registry import component


@component("learning", "network")
class NetworkReparametrization(LearningRule):
    """Codewords are a basis through a trainable network: E = network(C) + offset.

    The gradient of any codeword trains the network, which moves all others. In evaluation the
    codewords are computed once and kept; they are saved beside the network, so that a loaded model
    searches exactly the codewords that were saved.

    A k-means start, revival and an assigned codebook stay exact for any network: they replace rows
    of the basis where its width is D, and `offset`, which is not trained, takes what the network
    leaves. It is 0 for codewords that were never replaced.

    Args:
        network: from (K, basis_dim) to (K, D): a `CodebookTransform`, or any module; each
            quantizer trains its own copy. To save a model, put ``@component("transform", name)``
            on the class of your own.
        basis_dim: width of the basis; None: the network's own `basis_dim`, or else D.
        frozen: keep the basis as it starts; if False it is trained, too.

    Raises:
        OptionError: the network does not give (K, D).

    Example:
        >>> from vocabula.quantizers import MLPTransform, VectorQuantizer
        >>> rule = NetworkReparametrization(MLPTransform(8, basis_dim=2))
        >>> VectorQuantizer(8, 16, learning=rule).book.basis.shape
        torch.Size([16, 2])

    Source:
        Zhu et al. 2024 (SimVQ), where the network is a matrix and the basis is frozen; Chang et
        al. 2025 (FVQ), where it is attention over the codebook and the basis is trained.
    """

    def __init__(
        self,
        network: CodebookTransform | nn.Module,
        *,
        basis_dim: Annotated[int, Ge(1)] | None = None,
        frozen: bool = True,
    ) -> None:
        self.network = network
        self.basis_dim = basis_dim or getattr(network, "basis_dim", None)
        self.frozen = frozen

    def __repr__(self) -> str:
        """The network's class and the options that are not default."""
        frozen = "" if self.frozen else ", frozen=False"
        return f"NetworkReparametrization({type(self.network).__name__}{frozen})"

    def codebook(self, vectors: Tensor) -> Codebook:
        """A codebook whose network starts as a copy of this one; `vectors` are (K, D)."""
        return NetworkCodebook(vectors, self)


class NetworkCodebook(OwnParameters, Codebook):
    """A basis through a network; see `NetworkReparametrization`."""

    by_gradient = True
    basis: Tensor
    offset: Tensor
    codewords: Tensor

    def __init__(self, vectors: Tensor, rule: NetworkReparametrization) -> None:
        super().__init__()
        size, dim = vectors.shape
        width = rule.basis_dim or dim
        same = width == dim
        basis = vectors.detach().clone() if same else torch.randn(size, width) / width**0.5
        if rule.frozen:
            self.register_buffer("basis", basis)
        else:
            self.basis = nn.Parameter(basis)
        self.network = copy.deepcopy(rule.network).to(vectors.device)
        self.register_buffer("offset", torch.zeros_like(vectors))
        self.register_buffer("codewords", torch.zeros_like(vectors))
        self._seen: tuple[tuple[int, int], ...] = ()
        self.register_load_state_dict_post_hook(NetworkCodebook._keep_loaded)
        self._try(size, dim)
        self._refresh()

    def _try(self, size: int, dim: int) -> None:
        width = self.basis.shape[1]
        try:
            with torch.no_grad():
                got = self.network(self.basis)
        except RuntimeError as error:
            first = str(error).splitlines()[0]
            raise OptionError(
                f"NetworkReparametrization.network: expected a network for a basis "
                f"({size}, {width}), got an error: {first}; set basis_dim to the width it takes"
            ) from None
        if got.shape != (size, dim):
            raise OptionError(
                f"NetworkReparametrization.network: expected codewords ({size}, {dim}) from a "
                f"basis ({size}, {width}), got {tuple(got.shape)}; let its last layer give {dim}"
            )

    # ------------------------------------------------------------- codewords

    def vectors(self) -> Tensor:
        """The codewords (K, D), from the network in training and kept ones in evaluation."""
        if self.training or transforming():
            return self._computed()
        if not torch.compiler.is_compiling() and self._seen != self._versions():
            self._refresh()
        trained = torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())
        if not trained:
            return self.codewords.clone()
        computed = self._computed()  # adding an exact zero keeps the bits and brings the gradient
        return self.codewords.clone() + (computed - computed.detach())

    def _computed(self) -> Tensor:
        """The codewords (K, D) of the present network, computed in at least float32."""
        basis = whole(self.basis).clone()
        exact = basis.dtype in (torch.float32, torch.float64)
        with without_autocast(basis.device):
            if exact and not any(map(is_part, self.network.parameters())):
                found: Tensor = self.network(basis)
                return found + self.offset
            named = [*self.network.named_parameters(), *self.network.named_buffers()]
            full = {name: whole(t) for name, t in named}
            if not exact:
                basis = basis.float()
                full = {n: t.float() if t.is_floating_point() else t for n, t in full.items()}
            found = torch.func.functional_call(self.network, full, (basis,))
            return found + self.offset

    @torch.no_grad()
    def _refresh(self) -> None:
        """Keep the codewords of the present network."""
        self.codewords.copy_(self._computed())
        self._seen = self._versions()

    def _versions(self) -> tuple[tuple[int, int], ...]:
        """What changes with any of the tensors that the codewords depend on."""
        tensors = [*self.parameters(), *self.network.buffers(), self.basis, self.offset]
        return tuple((id(t), -1 if t.is_inference() else t._version) for t in tensors)

    # ------------------------------------------------------------- changes

    @torch.no_grad()
    def assign(self, vectors: Tensor, counts: Tensor | None = None) -> None:
        """Replace all codewords."""
        everywhere = torch.ones(len(vectors), dtype=torch.bool, device=self.offset.device)
        self.replace(everywhere, vectors, everywhere)

    @torch.no_grad()
    def replace(self, where: Tensor, vectors: Tensor, mass: Tensor) -> None:
        """Replace the codewords where (K,) is true; the others stay, though the basis changes."""
        known = readable(where) if where.is_cpu else None
        if known is not None and not bool(known.any()):
            return
        wanted = torch.where(where[:, None], vectors.to(self.offset), self._computed())
        if self.basis.shape[1] == vectors.shape[1]:
            self._set_basis(where, vectors)
        self.offset.zero_()
        self.offset.copy_(wanted - self._computed())

    def _set_basis(self, where: Tensor, rows: Tensor) -> None:
        if "basis" in self._parameters:
            self.set_parameter("basis", rows, where[:, None])
        else:
            self.basis.copy_(torch.where(where[:, None], rows.to(self.basis), self.basis))

    @torch.no_grad()
    def select(self, kept: Tensor) -> None:
        """Keep only the codewords `kept` (K',), bit for bit; the network goes on training them.

        `offset` takes what the network gives the fewer rows otherwise, as attention does.

        Raises:
            OptionError: the network takes no other number of rows.
        """
        wanted = (self._computed() if self.training else self.vectors().detach())[kept]
        try:
            got = self.network(self.basis[kept]).shape
        except RuntimeError:
            got = None
        if got != wanted.shape:
            raise OptionError(
                f"NetworkCodebook: expected a network that takes any number of rows, got one for "
                f"{len(self.basis)}; assign codebook[kept] to a VectorQuantizer(learning="
                "Gradient()) of that size instead"
            )
        basis = self.basis.detach()[kept]
        trained = isinstance(self.basis, nn.Parameter)
        self.basis = nn.Parameter(basis, self.basis.requires_grad) if trained else basis
        self.offset = torch.zeros_like(wanted)
        self.offset = wanted - self._computed()
        self.codewords = wanted
        self._seen = self._versions()

    # ------------------------------------------------------------- module

    def train(self, mode: bool = True) -> NetworkCodebook:
        """Switch the mode; evaluation keeps the codewords of the present network."""
        super().train(mode)
        if not mode and self._seen != self._versions():
            self._refresh()
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        fresh = self._seen == self._versions()
        result = super()._apply(fn, recurse)
        if fresh:
            self._seen = self._versions()
        return result

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        if self._seen != self._versions():
            self._refresh()
        super()._save_to_state_dict(*args, **kwargs)

    def _keep_loaded(self, _: Any) -> None:
        """Search the codewords that were loaded, not those that this machine would compute."""
        self._seen = self._versions()

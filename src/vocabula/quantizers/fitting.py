"""When codewords are set from the data: which updates are due, and what the first of them saw."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vocabula.functional import readable
from vocabula.functional._checks import counted
from vocabula.quantizers.initialization import Initialization
from vocabula.quantizers.local_state import LocalState


class FittedStart(LocalState):
    """A quantizer whose codewords an `Initialization` sets from the first batches.

    Without `keep_fits` nothing is ever due.

    Attributes:
        initialization: how codewords are found, and before which updates.
        fits: () int64, updates with data, counted until the codewords are fitted for the last time.
        begun: () whether vectors were seen since the last update.
    """

    initialization: Initialization
    fits: Tensor
    begun: Tensor
    _settled = True

    def keep_fits(self, initialization: Initialization) -> None:
        """Register the state that tells which updates are due."""
        self.initialization = initialization
        self.register_buffer("fits", torch.zeros((), dtype=torch.int64))
        # Then the codewords may not be fitted: codes of this update belong to them.
        self.keep_local("begun", torch.zeros((), dtype=torch.bool), persistent=False)
        self._settled = initialization.last_fit < 0

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if "fits" in self._buffers:
            self._settle()

    def _settle(self) -> None:
        """Check whether the codewords have had their last fit, if the count can be read."""
        fits = readable(self.fits)
        if fits is not None:
            self._settled = int(fits) > self.initialization.last_fit

    def _end_fits(self) -> None:
        """Take the codewords as they are: no fit follows."""
        if "fits" not in self._buffers:
            return
        self.fits.fill_(self.initialization.last_fit + 1)
        self._settled = True

    def _fitting(self) -> bool:
        # A traced graph cannot read a changing count: its operator asks each time.
        compiling = torch.compiler.is_compiling()
        return self.initialization.last_fit >= 0 if compiling else not self._settled

    @torch.no_grad()
    def _found(self, z: Tensor, mask: Tensor | None, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Codewords (K, D) of a batch, their counts (K,) and whether to take them ().

        They are equal on every process. It happens once per update, before its first vectors:
        neither another micro-batch nor another stage that shares the codebook may move it after
        codes were found.
        """
        self.follow(z)
        if mask is None:
            mask = torch.ones(len(z), dtype=torch.bool, device=z.device)
        step = torch.where(self.begun, -1, self.fits)
        return self.initialization.fit(z, counted(mask), step, size)

    def _note(self, due: Tensor) -> None:
        """Count the update to which a batch belongs, which has set the codewords if `due` ()."""
        seen = due | (self.fits > 0)
        self.fits += seen & ~self.begun & (self.fits <= self.initialization.last_fit)
        self.begun.logical_or_(seen)
        self._settle()

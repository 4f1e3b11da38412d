"""Training: configurations, the trainer, checkpoints and whole runs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vocabula.training.collapse import CollapseLimits, CollapseWatch
    from vocabula.training.config import (
        RunConfig,
        check_config,
        config_from_sections,
        explain,
        load_config,
        preset_names,
        prior_preset_names,
    )
    from vocabula.training.prior_run import train_prior
    from vocabula.training.prior_trainer import PriorTrainer
    from vocabula.training.run import train
    from vocabula.training.settings import Stage, TrainingOptions
    from vocabula.training.trainer import Trainer

_MODULES = {
    "CollapseLimits": "collapse",
    "CollapseWatch": "collapse",
    "PriorTrainer": "prior_trainer",
    "RunConfig": "config",
    "Stage": "settings",
    "Trainer": "trainer",
    "TrainingOptions": "settings",
    "check_config": "config",
    "config_from_sections": "config",
    "explain": "config",
    "load_config": "config",
    "preset_names": "config",
    "prior_preset_names": "config",
    "train": "run",
    "train_prior": "prior_run",
}

__all__ = [
    "CollapseLimits",
    "CollapseWatch",
    "PriorTrainer",
    "RunConfig",
    "Stage",
    "Trainer",
    "TrainingOptions",
    "check_config",
    "config_from_sections",
    "explain",
    "load_config",
    "preset_names",
    "prior_preset_names",
    "train",
    "train_prior",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)

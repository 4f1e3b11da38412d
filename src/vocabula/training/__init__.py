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
    )
    from vocabula.training.run import train
    from vocabula.training.settings import Stage, TrainingOptions
    from vocabula.training.trainer import Trainer

_MODULES = {
    "CollapseLimits": "collapse",
    "CollapseWatch": "collapse",
    "RunConfig": "config",
    "Stage": "settings",
    "Trainer": "trainer",
    "TrainingOptions": "settings",
    "check_config": "config",
    "config_from_sections": "config",
    "explain": "config",
    "load_config": "config",
    "preset_names": "config",
    "train": "run",
}

__all__ = [
    "CollapseLimits",
    "CollapseWatch",
    "RunConfig",
    "Stage",
    "Trainer",
    "TrainingOptions",
    "check_config",
    "config_from_sections",
    "explain",
    "load_config",
    "preset_names",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)

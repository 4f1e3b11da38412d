"""Training: configurations, the trainer, checkpoints and whole runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocabula import lazy_names

if TYPE_CHECKING:
    from vocabula.quantizers.collapse import CollapseLimits, CollapseWatch
    from vocabula.training.config import (
        RunConfig,
        check_config,
        config_from_sections,
        explain,
        load_config,
    )
    from vocabula.training.preset_files import preset_names, prior_preset_names
    from vocabula.training.prior_run import train_prior
    from vocabula.training.prior_trainer import PriorTrainer
    from vocabula.training.run import train
    from vocabula.training.settings import Stage, TrainingOptions
    from vocabula.training.trainer import Trainer

__getattr__ = lazy_names(__name__)

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

"""The run of a prior: measures it on held-out codes, keeps the best weights, warns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from torch import Tensor

from vocabula import registry
from vocabula.data.code_batches import train_code_batches
from vocabula.errors import plural
from vocabula.evaluation.code_nats import count_nats, measure_codes, order0_nats
from vocabula.files import dump_json, output_errors, replace_file
from vocabula.priors import CodeGrid, Origin, Prior, save
from vocabula.priors.data import PriorData
from vocabula.priors.durations import durations
from vocabula.signals.attributes import CLASS
from vocabula.training.checkpoint import Checkpoint
from vocabula.training.config import RunConfig
from vocabula.training.folder import RunFolder
from vocabula.training.log import RESUME
from vocabula.training.prior_trainer import ConditionedBatch, PriorTrainer
from vocabula.training.prior_watch import HeldOutNats, PriorWatch
from vocabula.training.session import Session
from vocabula.training.settings import HeldOutOptions
from vocabula.training.subject import Subject

METRICS = "metrics.json"


class PriorSession(Session[PriorTrainer]):
    """Trains a prior of one level; see `Session`.

    Every `HeldOutOptions.every` steps and at the end the averaged weights are measured on held-out
    codes; the best of them are what is saved.

    Args:
        data: what it learns from, of the level.
        config, subject, folder, trainer, continued, progress: see `Session`.
    """

    signals_per_second = "signals_per_second"

    def __init__(
        self,
        data: PriorData,
        config: RunConfig,
        subject: Subject,
        folder: RunFolder,
        trainer: PriorTrainer,
        *,
        continued: bool,
        progress: bool,
    ) -> None:
        self.data = data
        self._held_out: HeldOutOptions = config.build("held_out")
        self._watch = PriorWatch(
            order0=order0_nats(data.fitted, data.held_out),
            warmup=max(200, trainer.options.steps // 4),
            condition=_condition(data) if trainer.prior.conditioning.dropout else "",
        )
        self._best: dict[str, Tensor] = {}
        super().__init__(
            config,
            subject,
            folder,
            trainer,
            continued=continued,
            progress=progress,
            feed=self._feed,
        )

    @property
    def due(self) -> bool:
        """Whether the prior is to be measured after this step."""
        return self.trainer.step % self._held_out.every == 0

    def measure(self, record: dict[str, Any]) -> list[str]:
        """Add what the prior reaches on held-out codes, where it is due; warnings."""
        if not self.is_main:
            return []
        measured = self._measure(record) if self.due or self.ends else None
        return self._watch.observe(self.trainer.step, record["loss"], measured)

    def extra_state(self) -> dict[str, Any]:
        """What the watch has seen."""
        return {"watch": self._watch.state()}

    def save(self) -> Checkpoint:
        """A checkpoint, with the best weights so far."""
        checkpoint = super().save()
        if self._best:
            checkpoint.tensors["best"] = self._best
        return checkpoint

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint that the trainer has loaded."""
        super().restore(checkpoint)
        self._watch.load_state(checkpoint.state["watch"])
        self._best = dict(checkpoint.tensors.get("best", {}))

    def export(self) -> None:
        """Save the prior with the best weights, or those of now where none were measured."""
        best = self._watch.best
        metrics: dict[str, float] = {"step": self.trainer.step}
        if best is not None:
            metrics = {"step": best.step, "held-out nats per token": best.nats}
        weights = self._best or (self.trainer.average.state() if self.trainer.average else {})
        with self.trainer.borrowing(weights):
            save(
                self.trainer.prior,
                self.folder.path,
                data=f"{plural(len(self.data.fitted), 'signal')} of {self.subject.data}",
                metrics=metrics,
                command=self.subject.command_line(*self.config.overrides),
            )

    def write_metrics(self) -> dict[str, Any]:
        """Measure the saved weights, write ``metrics.json`` and return its content."""
        data, prior = self.data, self.trainer.prior
        with self.trainer.borrowing(self._best):
            nats = measure_codes(prior, data.held_out, batch_size=self._batch)
            withheld = self._withheld()
        counted = count_nats(data.fitted, data.held_out)
        best = self._watch.best
        content = {
            "model": self.config.sections["prior"]["name"],
            "parameters": sum(p.numel() for p in prior.parameters()),
            "steps": self.trainer.step,
            "step": best.step if best else self.trainer.step,
            "seconds": self.seconds(),
            "signals": len(data.fitted),
            "held_out_signals": nats.signals,
            "nats_per_token": nats.nats_per_token,
            "nats_per_token_without_condition": withheld,
            "bits_per_dim": nats.bits_per_dim,
            "nats_by_book": nats.by_book.tolist(),
            **asdict(counted),
            "below_order0": 1 - nats.nats_per_token / counted.order0,
            "below_neighbours": 1 - nats.nats_per_token / counted.neighbours,
        }
        path = self.folder.path / METRICS
        with output_errors(path, then=RESUME):
            replace_file(path, dump_json(content))
        return content

    # --------------------------------------------------------------- internals

    @property
    def _batch(self) -> int:
        return max(1, self.options.batch_size // self.options.accumulate)

    def _feed(self, start: int) -> Iterator[ConditionedBatch]:
        """This process's codes and conditions of every step from `start` on."""
        accelerator, options = self.trainer.accelerator, self.trainer.options
        batches = train_code_batches(
            self.data.fitted.arrays,
            batch_size=options.batch_size // accelerator.num_processes,
            seed=options.seed,
            start=start,
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
        )
        return (self.data.fitted.of(batch) for batch in batches)

    def _measure(self, record: dict[str, Any]) -> HeldOutNats:
        """Measure the averaged weights and keep them if they are the best."""
        trainer, best = self.trainer, self._watch.best
        with trainer.averaged():
            nats = measure_codes(trainer.prior, self.data.held_out, batch_size=self._batch)
            withheld = self._withheld()
            if best is None or nats.nats_per_token < best.nats:
                self._best = {
                    name: parameter.detach().cpu().clone()
                    for name, parameter in trainer.model.named_parameters()
                }
        record["held_out_nats"] = nats.nats_per_token
        record["held_out_bits_per_dim"] = nats.bits_per_dim
        if withheld is not None:
            record["held_out_nats_without_condition"] = withheld
        return HeldOutNats(trainer.step, nats.nats_per_token, withheld)

    def _withheld(self) -> float | None:
        """Held-out nats per code without the condition; None where that was never learned."""
        prior = self.trainer.prior
        known = prior.conditioning
        if not (known.withholdable and known.dropout):
            return None
        found = measure_codes(prior, self.data.held_out, batch_size=self._batch, withheld=True)
        return found.nats_per_token


def build_prior(config: RunConfig, data: PriorData) -> Prior:
    """The prior of a configuration for the codes and conditions of some data.

    Raises:
        OptionError: options do not fit one another.
    """
    arrays, level = data.fitted.arrays, data.fitted.level
    grids = [
        CodeGrid(layout.codebook_sizes, grid, layout.code_shape)
        for layout, grid in zip(arrays.layouts, data.fitted.grids, strict=True)
    ]
    kind: type[Prior] = registry.lookup("prior", config.sections["prior"]["name"])
    conditioning = config.build(
        "conditioning",
        classes=data.attributes.get(CLASS, 0),
        attributes={name: n for name, n in data.attributes.items() if name != CLASS} or None,
        text_tokens=data.text.size if data.text else 0,
        text_length=data.text_length,
        upper=grids[:level],
        timing=data.fitted.timing if kind.conditional else 0,
    )
    prior: Prior = config.build("prior", codes=grids[level], conditioning=conditioning)
    if arrays.counts is not None:
        prior.check_grid((min(int(arrays.counts[level].min()), *grids[level].grid),))
    lengths = durations(data.fitted)
    prior.origin = Origin(data.identity["tokenizer"], data.names, data.image_size, lengths)
    prior.text_tokenizer = data.text
    return prior


def _condition(data: PriorData) -> str:
    return " and ".join([*data.attributes, *(["text"] if data.text else [])])

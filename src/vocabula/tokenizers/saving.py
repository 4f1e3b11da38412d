"""Saving tokenizers to folders and loading them, here or from a model hub; nothing is unpickled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from torch import nn

from vocabula import registry
from vocabula.errors import CheckpointError, plural
from vocabula.files import write_bytes
from vocabula.signals import Signal
from vocabula.signals.code_names import CodeNames
from vocabula.tokenizers import summary
from vocabula.tokenizers.card import model_card
from vocabula.tokenizers.code_level import CodeLevel
from vocabula.tokenizers.code_statistics import FILE as STATISTICS
from vocabula.tokenizers.code_statistics import CodeStatistics, load_statistics
from vocabula.tokenizers.look import KEY as KIN
from vocabula.tokenizers.look import Kin
from vocabula.tokenizers.saved_folder import (
    CARD,
    CONFIG,
    WEIGHTS,
    build_saved,
    read_saved_weights,
    read_tokenizer_config,
    write_saved,
)
from vocabula.tokenizers.weights import codes_digest, fingerprint

if TYPE_CHECKING:
    from huggingface_hub import ModelHubMixin


class Saved(summary.Summarized, Protocol):
    """What saving needs of a tokenizer; see `SignalTokenizer` for what each is."""

    code_statistics: CodeStatistics | None
    kin: Kin | None

    def code_names(self) -> CodeNames:
        """See `Pretrained`."""


class Pretrained:
    """Gives a tokenizer `save_pretrained`, `from_pretrained`, `push_to_hub` and `fingerprint`.

    Attributes:
        kin: the tokenizers with the same codes, where it began as one of them.
    """

    kin: Kin | None = None

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        data: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        command: str | None = None,
        held_out: str | None = None,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        **hub_options: Any,
    ) -> str | None:
        """Write ``config.json``, ``model.safetensors`` and ``README.md`` into a folder.

        Counts of the training codes, `code_statistics`, are written beside them, as
        ``entropy.safetensors``: the folder then opens files that were compressed with them. Every
        file is complete or absent at any moment; other files in the folder are left alone.

        Args:
            save_directory: the folder, made if need be.
            data: what it was trained on, for the model card.
            metrics: figures by name, for the model card.
            command: what made it, for the model card.
            held_out: figures on data that it did not learn from, for the model card; see
                `vocabula.tokenizers.card_update.held_out_figures`.
            repo_id: where to push; the folder's name if not given.
            push_to_hub: push to the model hub as well.
            hub_options: further options of `push_to_hub`.

        Returns:
            The commit's address if pushed, else None.

        Raises:
            OutputError: the folder cannot be written.
        """
        # the hub's own push calls back with these, which the model card here does not use
        upload = {k: v for k, v in hub_options.items() if k not in ("config", "model_card_kwargs")}
        save(
            cast("Saved", self),
            save_directory,
            data=data,
            metrics=metrics,
            command=command,
            held_out=held_out,
        )
        if not push_to_hub:
            return None
        return self.push_to_hub(repo_id or Path(save_directory).name, **upload)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **hub_options: Any) -> Self:
        """Load a tokenizer from a folder, or by its name on the model hub.

        Args:
            pretrained_model_name_or_path: a folder, or a name such as ``"user/model"``.
            hub_options: ``revision``, ``token``, ``cache_dir``, ``local_files_only``,
                ``force_download``.

        Raises:
            CheckpointError: missing, damaged, foreign, or not available.
        """
        name = str(pretrained_model_name_or_path)
        folder = Path(name) if os.path.isdir(name) else _download(name, hub_options)
        loaded = load_saved(folder)
        if not isinstance(loaded, cls):
            raise CheckpointError(
                f"{folder}: expected a {cls.__name__}, got a {type(loaded).__name__}; "
                "use vocabula.load"
            )
        return loaded

    def push_to_hub(self, repo_id: str, **hub_options: Any) -> str:
        """Save into a repository of the model hub.

        Args:
            repo_id: such as ``"user/model"``; made if need be.
            hub_options: those of `huggingface_hub.ModelHubMixin.push_to_hub`, such as ``private``,
                ``token``, ``branch`` and ``commit_message``.

        Returns:
            The commit's address.
        """
        # imported here: opening a saved folder does without it, which saves 0.3 s
        from huggingface_hub import ModelHubMixin

        return ModelHubMixin.push_to_hub(cast("ModelHubMixin", self), repo_id, **hub_options)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of settings and weights: the tokenizer's identity in token files."""
        return fingerprint(cast("nn.Module", self))

    def codes_digest(self) -> str:
        """SHA-256 (hex) of what the codes depend on: all but the last decoder and the likelihood.

        Tokenizers with equal digests give the same codes of the same signals.
        """
        return codes_digest(cast("nn.Module", self))

    def code_names(self) -> CodeNames:
        """The fingerprints under which files know the codes.

        They include those of the tokenizer that this one began as, as long as the codes have stayed
        the same to the bit.
        """
        kin = self.kin
        if kin is None or kin.digest != self.codes_digest():
            return CodeNames(self.fingerprint())
        return CodeNames(self.fingerprint(), kin.fingerprints)


def save(
    tokenizer: Saved,
    folder: str | Path,
    *,
    data: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    command: str | None = None,
    held_out: str | None = None,
    half: bool = False,
) -> None:
    """Write a tokenizer into a folder; see `Pretrained.save_pretrained`.

    ``half`` stores weights in 16 bits where that loses nothing.

    Raises:
        OutputError: the folder cannot be written.
        OptionError: a part is not a registered component, so it could not be loaded again.
    """
    folder = Path(folder)
    settings, said = registry.spec(tokenizer), summary.summarize(tokenizer)
    config = {"tokenizer": settings, summary.KEY: said.to_dict()}
    names, counts, kin = tokenizer.code_names(), tokenizer.code_statistics, tokenizer.kin
    if kin is not None and names.others:
        config[KIN] = kin.to_dict()
    card = model_card(
        summary=_summary(tokenizer),
        signal=tokenizer.signal,
        fingerprint=said.fingerprint,
        settings=settings,
        data=data,
        metrics=metrics,
        command=command,
        held_out=held_out,
    )

    def beside(draft: Path) -> None:
        if counts is not None and names.know(counts.fingerprint):
            write_bytes(draft / STATISTICS, counts.to_bytes())

    write_saved(folder, cast("nn.Module", tokenizer), config, card, beside, half=half)


def load_saved(path: str | Path) -> Any:
    """The tokenizer saved in a folder; see `vocabula.load`."""
    folder = Path(path)
    config = read_tokenizer_config(folder)
    tokenizer = build_saved(folder, config, "tokenizer")
    read_saved_weights(tokenizer, folder)
    tokenizer.kin = Kin.of(config)
    if (folder / STATISTICS).is_file():
        tokenizer.code_statistics = load_statistics(folder, tokenizer.code_names())
    return tokenizer.eval()


def _download(name: str, hub_options: Mapping[str, Any]) -> Path:
    """The local copy of a model on the hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                name, allow_patterns=[CONFIG, WEIGHTS, STATISTICS, CARD], **hub_options
            )
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{name}: expected a folder or the name of a model on the hub, got "
            f"{type(error).__name__}; check the spelling, the network and your access"
        ) from None


def _summary(tokenizer: Saved) -> str:
    return (
        f"Turns {tokenizer.signal.plural} of {plural(tokenizer.channels, 'channel')} into codes, "
        f"{' and '.join(_level_summary(level, tokenizer.signal) for level in tokenizer.levels)}."
    )


def _level_summary(level: CodeLevel, signal: Signal) -> str:
    sizes = level.codebook_sizes
    books = f"codebooks of {', '.join(map(str, sizes))}" if sizes else "a continuous latent"
    sides = " x ".join(level.sides) or "1"
    unit = signal.unit if sides == "1" else f"{signal.unit}s"
    return f"one position per {sides} {unit}, with {books}"

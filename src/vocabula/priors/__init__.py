"""Priors: distributions of codes for drawing new codes by class, by text or by coarser codes.

    codes, condition --> Prior.log_prob --> nats
           condition --> Prior.sample   --> codes --> tokenizer.decode --> signal

A `Generator` is a tokenizer with the priors of all its levels. `load` opens a saved prior,
`load_generator` a saved generator. The transformers library is imported when a
`TransformerPrior` is made, the tokenizers library when a `TextTokenizer` is trained or loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocabula import lazy_names

if TYPE_CHECKING:
    from vocabula.priors.codes import CodeGrid
    from vocabula.priors.condition import Conditioning
    from vocabula.priors.drawing import Drawing
    from vocabula.priors.generator import Generator
    from vocabula.priors.generator_saving import level_folder, load_generator, save_tokenizer_beside
    from vocabula.priors.order import Samples
    from vocabula.priors.origin import Origin
    from vocabula.priors.pixelcnn import PixelCNN
    from vocabula.priors.pixelsnail import PixelSNAIL
    from vocabula.priors.portable import PortablePrior
    from vocabula.priors.prior import Prior
    from vocabula.priors.saving import load, save
    from vocabula.priors.text import TextTokenizer
    from vocabula.priors.transformer import TransformerPrior
    from vocabula.signals.condition import Condition

__getattr__ = lazy_names(__name__)

__all__ = [
    "CodeGrid",
    "Condition",
    "Conditioning",
    "Drawing",
    "Generator",
    "Origin",
    "PixelCNN",
    "PixelSNAIL",
    "PortablePrior",
    "Prior",
    "Samples",
    "TextTokenizer",
    "TransformerPrior",
    "level_folder",
    "load",
    "load_generator",
    "save",
    "save_tokenizer_beside",
]

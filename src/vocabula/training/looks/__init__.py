"""How reconstructions look or sound: a perceptual term and an adversary in a tokenizer's training.

::

    target, reconstruction --PerceptualLoss, Discriminator--> a gradient at the reconstruction
    gradient --backward--> decoder, bottleneck, encoder
"""

from __future__ import annotations

from vocabula.training.looks.adversary import Adversary
from vocabula.training.looks.looks import Looks, LookSettings
from vocabula.training.looks.options import AdversaryOptions

__all__ = ["Adversary", "AdversaryOptions", "LookSettings", "Looks"]

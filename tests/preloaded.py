"""What forked processes would each import and look up again; see `processes`."""

from __future__ import annotations

import gc

import pyarrow.parquet  # noqa: F401
import pytest  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch._dynamo  # noqa: F401
from PIL import Image

import vocabula.cli.main
import vocabula.pipelines.compress
import vocabula.pipelines.encode
import vocabula.training.run  # noqa: F401
from vocabula import registry

Image.init()  # its plug-ins
registry.names("quantizer")  # which reads the sources
gc.freeze()  # as in the tests themselves
gc.set_threshold(20_000, 10, 10)

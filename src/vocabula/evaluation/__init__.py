"""Measuring tokenizers: figures over a data set, files of codes, and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocabula import lazy_names

if TYPE_CHECKING:
    from vocabula.evaluation.decode import decode_tokens
    from vocabula.evaluation.encode import encode_dataset
    from vocabula.evaluation.measurement import evaluate
    from vocabula.evaluation.metrics import mse, psnr, ssim
    from vocabula.evaluation.prior_report import build_prior_report
    from vocabula.evaluation.report import build_report
    from vocabula.evaluation.result import BookUsage, Evaluation
    from vocabula.evaluation.run_files import read_log, read_manifest

__getattr__ = lazy_names(
    __name__,
    {
        "decode": ("decode_tokens",),
        "encode": ("encode_dataset",),
        "measurement": ("evaluate",),
        "metrics": ("mse", "psnr", "ssim"),
        "prior_report": ("build_prior_report",),
        "report": ("build_report",),
        "result": ("BookUsage", "Evaluation"),
        "run_files": ("read_log", "read_manifest"),
    },
)

__all__ = [
    "BookUsage",
    "Evaluation",
    "build_prior_report",
    "build_report",
    "decode_tokens",
    "encode_dataset",
    "evaluate",
    "mse",
    "psnr",
    "read_log",
    "read_manifest",
    "ssim",
]

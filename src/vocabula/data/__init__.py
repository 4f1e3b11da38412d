"""Reading signals: sources of every kind, batches for training, and files of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocabula import lazy_names

if TYPE_CHECKING:
    from vocabula.data.arrays import ArraySource
    from vocabula.data.audio import AudioSource
    from vocabula.data.audio_data import AudioData
    from vocabula.data.audio_opening import open_audio
    from vocabula.data.base import SignalData, Source
    from vocabula.data.batch import Batch
    from vocabula.data.cropped import CroppedSource
    from vocabula.data.folder import FolderSource
    from vocabula.data.held_out import default_evaluation, held_out_split, split_names
    from vocabula.data.image_problems import DataWarning
    from vocabula.data.images import ImageData
    from vocabula.data.kinds import DATA, open_data
    from vocabula.data.opening import open_source
    from vocabula.data.parquet import ParquetSource
    from vocabula.data.picture_cuts import Cut
    from vocabula.data.source import ImageSource, Sample
    from vocabula.data.token_dataset import TokenDataset
    from vocabula.data.token_file import TokenFile, read_tokens
    from vocabula.data.token_records import TokenBatch, TokenRecord
    from vocabula.data.token_writer import TokenWriter, write_tokens
    from vocabula.data.vector_data import VectorData
    from vocabula.data.vector_files import open_vectors
    from vocabula.data.vectors import VectorSource

__getattr__ = lazy_names(__name__)

__all__ = [
    "DATA",
    "ArraySource",
    "AudioData",
    "AudioSource",
    "Batch",
    "CroppedSource",
    "Cut",
    "DataWarning",
    "FolderSource",
    "ImageData",
    "ImageSource",
    "ParquetSource",
    "Sample",
    "SignalData",
    "Source",
    "TokenBatch",
    "TokenDataset",
    "TokenFile",
    "TokenRecord",
    "TokenWriter",
    "VectorData",
    "VectorSource",
    "default_evaluation",
    "held_out_split",
    "open_audio",
    "open_data",
    "open_source",
    "open_vectors",
    "read_tokens",
    "split_names",
    "write_tokens",
]

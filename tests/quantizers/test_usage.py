from __future__ import annotations

import json
import math

import pytest
import torch

from vocabula.quantizers import Normal, ResidualQuantizer, UsageTracker, VectorQuantizer
from vocabula.quantizers.local_state import local_tensors

pytestmark = pytest.mark.usefixtures("each_way")


def record(tracker: UsageTracker, codes: list[int], mask: list[bool] | None = None) -> None:
    rows = torch.tensor(codes)[:, None]
    keep = torch.tensor(mask if mask is not None else [True] * len(codes))
    ones = torch.ones(len(codes), 2)
    tracker.record(rows, keep, 3 * ones, 2 * ones)


def test_figures_by_hand() -> None:
    tracker = UsageTracker((4,), window=8)
    record(tracker, [0, 0, 1, 2], [True, True, True, False])
    record(tracker, [1, 1, 1, 1])
    report = tracker.report()
    assert report.window == 8
    assert report.vectors.tolist() == [7]
    assert report.usage.tolist() == [0.5]
    assert report.dead.tolist() == [2]
    assert report.oldest.tolist() == [2]  # codes 2 and 3 were never seen: as old as the count
    assert report.largest_share.item() == pytest.approx(5 / 7)
    p, q = 2 / 7, 5 / 7
    expected = math.exp(-p * math.log(p) - q * math.log(q))
    assert report.perplexity.item() == pytest.approx(expected, rel=1e-6)
    assert report.norm_ratio.item() == pytest.approx(1.5)


def test_age_of_the_dead() -> None:
    tracker = UsageTracker((3,), window=8)
    for codes in ([0, 1, 2], [0, 1], [0], [0]):
        record(tracker, codes)
    assert tracker.report().oldest.tolist() == [3]  # code 2, last seen three recordings ago


def test_the_window_slides() -> None:
    tracker = UsageTracker((2,), window=8)
    record(tracker, [0])
    for _ in range(7):
        record(tracker, [1])
    assert tracker.report().usage.tolist() == [1.0]
    assert tracker.report().vectors.tolist() == [8]
    record(tracker, [1])
    assert tracker.report().usage.tolist() == [0.5]
    assert tracker.report().vectors.tolist() == [8]
    assert tracker.report().largest_share.tolist() == [1.0]


def test_a_longer_window_slides_by_eighths() -> None:
    tracker = UsageTracker((2,), window=128)
    for _ in range(200):
        record(tracker, [0])
    assert 112 <= tracker.report().vectors.item() <= 128
    for _ in range(128):
        record(tracker, [1])
    assert tracker.report().largest_share.tolist() == [1.0]
    assert tracker.report().dead.tolist() == [1]


def test_several_books() -> None:
    tracker = UsageTracker((2, 4))
    codes = torch.tensor([[0, 0], [0, 1], [0, 2], [0, 3]])
    tracker.record(codes, torch.ones(4).bool(), torch.ones(4, 2), torch.ones(4, 2))
    report = tracker.report()
    assert report.usage.tolist() == [0.5, 1.0]
    assert report.perplexity.tolist() == pytest.approx([1.0, 4.0])
    assert report.dead.tolist() == [1, 0]
    assert report.largest_share.tolist() == [1.0, 0.25]


def test_nothing_recorded_is_zero_and_finite() -> None:
    report = UsageTracker((4,)).report()
    assert report.vectors.tolist() == [0]
    assert report.usage.tolist() == [0.0]
    assert report.perplexity.tolist() == [1.0]
    assert report.largest_share.tolist() == [0.0]
    assert report.norm_ratio.isfinite().all()


def test_reset() -> None:
    tracker = UsageTracker((4,))
    record(tracker, [1, 2])
    tracker.reset()
    assert tracker.report().vectors.tolist() == [0]
    assert not any(counted.any() for counted in local_tensors(tracker).values())


def test_a_quantizer_tracks_training_only() -> None:
    quantizer = VectorQuantizer(4, 8)
    z = torch.randn(32, 4)
    quantizer(z)
    assert quantizer.usage_report().vectors.tolist() == [32]
    quantizer.eval()(z)
    assert quantizer.usage_report().vectors.tolist() == [32]


def test_recording_needs_no_tensor_of_vectors_by_codes() -> None:
    tracker = UsageTracker((1 << 18,), window=8)
    codes = torch.randint(1 << 18, (4096, 1))
    tracker.record(codes, torch.ones(4096).bool(), torch.ones(4096, 2), torch.ones(4096, 2))
    assert tracker.report().vectors.tolist() == [4096]


def test_a_report_prints_within_80_columns_and_as_plain_numbers() -> None:
    quantizer = ResidualQuantizer.repeat(2, dim=4, codebook_size=8)
    quantizer(torch.randn(64, 4))
    report = quantizer.usage_report()
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split()[:3] == ["1", "64", "100.0%"]
    assert json.loads(json.dumps(report.to_dict()))["vectors"] == [64, 64]


def test_a_report_says_what_helps_in_terms_of_the_layer() -> None:
    quantizer = VectorQuantizer(4, 64, initialization=Normal(), revival=None)
    for _ in range(10):
        quantizer(torch.full((64, 4), 3.0))
    advice = " ".join(quantizer.usage_report().advice)
    assert "Only 1.6% of the codebook is used" in advice
    assert "VectorQuantizer(revival=Revival())" in advice
    assert "quantizer." not in advice


def test_a_report_before_training_says_that_nothing_was_counted() -> None:
    report = VectorQuantizer(4, 8).usage_report()
    assert report.advice == ()
    assert "Nothing was counted" in str(report)

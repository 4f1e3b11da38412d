from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch

from vocabula.quantizers import LookupFreeQuantizer
from vocabula.quantizers.collapse import CollapseWatch
from vocabula.registry import names, options
from vocabula.training import load_config, preset_names
from vocabula.training.sections import networks
from vocabula.types import UsageReport

LEARNING = ("quantizer", "training", "optimizer")


def report(
    usage: float = 0.9, share: float = 0.01, ratio: float = 1.0, size: int = 100
) -> UsageReport:
    used = round(usage * size)
    return UsageReport(
        window=128,
        vectors=torch.tensor([1000]),
        perplexity=torch.tensor([float(used)]),
        usage=torch.tensor([usage]),
        dead=torch.tensor([size - used]),
        oldest=torch.tensor([0]),
        norm_ratio=torch.tensor([ratio]),
        largest_share=torch.tensor([share]),
    )


def watch() -> CollapseWatch:
    return CollapseWatch(quiet=100, warmup=0)


def test_healthy_figures_give_no_warning() -> None:
    observer = watch()
    for step in range(0, 1000, 10):
        assert observer.observe(step, report(), {"commitment": 0.1}) == []


def test_falling_usage_is_reported_with_both_figures_and_an_option() -> None:
    observer = watch()
    observer.observe(0, report(usage=0.9), {})
    (text,) = observer.observe(10, report(usage=0.4), {})
    assert "from 90% to 40%" in text
    assert "quantizer.revival" in text


def test_low_usage_from_the_start_is_reported() -> None:
    (text,) = watch().observe(0, report(usage=0.05), {})
    assert "Only 5.0% of the codebook" in text


def test_a_dominating_codeword_is_reported() -> None:
    (text,) = watch().observe(0, report(share=0.8), {})
    assert "One codeword takes 80%" in text
    assert "diversity_weight" in text


def test_commitment_growing_without_bound_is_reported() -> None:
    observer = watch()
    texts = [
        text
        for step in range(6)
        for text in observer.observe(step, report(), {"commitment": 0.1 * 2.0**step})
    ]
    # 0.1 * 2^3 = 0.8 is the first value above five times the lowest
    assert len(texts) == 1
    assert "from 0.1 to 0.8" in texts[0]
    assert "commitment_weight" in texts[0]


def test_commitment_that_grew_but_settled_is_not_reported() -> None:
    observer = watch()
    series = [0.1, 0.3, 0.6, 0.55, 0.58, 0.57, 0.56, 0.6, 0.58]
    assert not [
        text
        for step, value in enumerate(series)
        for text in observer.observe(step, report(), {"commitment": value})
    ]


def test_latents_that_drift_away_are_reported_in_both_directions() -> None:
    (longer,) = watch().observe(0, report(ratio=4.0), {})
    (shorter,) = watch().observe(0, report(ratio=0.1), {})
    assert "4.0 times longer" in longer
    assert "10.0 times shorter" in shorter


def test_a_warning_is_not_repeated_before_its_time() -> None:
    observer = watch()
    spoken = [s for s in range(250) if observer.observe(s, report(share=0.8), {})]
    assert spoken == [0, 100, 200]


def test_nothing_is_said_during_the_warmup() -> None:
    observer = CollapseWatch(quiet=100, warmup=50)
    spoken = [s for s in range(0, 100, 10) if observer.observe(s, report(share=0.8), {})]
    assert spoken == [50]


def test_a_bottleneck_without_a_report_is_fine() -> None:
    assert watch().observe(0, None, {"kl": 3.0}) == []


@pytest.mark.parametrize("preset", preset_names())
def test_the_advice_names_options_that_the_preset_has(preset: str) -> None:
    config = load_config(preset)
    for prefix, parts in networks(config.sections):
        advice = CollapseWatch(quantizer=parts["quantizer"]["name"], prefix=prefix).remedies
        pattern = r"(?:level\d\.)?(?:quantizer|training|optimizer)\.[a-z_]+"
        named = re.findall(pattern, " ".join(advice.values()))
        assert named
        known = options_of({**config.sections, f"{prefix}quantizer": parts["quantizer"]})
        assert {name for name in named if name not in known} == set()


def options_of(sections: dict[str, Any]) -> set[str]:
    """Every option of the components that the preset names for what learns."""
    tables = {name: t for name, t in sections.items() if name.split(".")[-1] in LEARNING}
    return {
        f"{path}.{option.name}"
        for path, table in tables.items()
        for option in options(path.split(".")[-1], table.get("name", names(path.split(".")[-1])[0]))
    }


def test_the_watch_of_a_level_reads_and_names_that_level_alone() -> None:
    observer = CollapseWatch(quiet=100, warmup=0, prefix="level2.")
    assert not [
        text
        for step in range(6)
        for text in observer.observe(step, None, {"level1.commitment": 0.1 * 2.0**step})
    ]
    texts = [
        text
        for step in range(6)
        for text in observer.observe(step, report(), {"level2.commitment": 0.1 * 2.0**step})
    ]
    assert len(texts) == 1
    assert texts[0].startswith("level2: The commitment term grew from 0.1 to 0.8")
    assert "level2.quantizer.commitment_weight" in texts[0]


def growing(norm: float) -> list[str]:
    """Warnings where the term doubles at each step while the codewords' norm grows by `norm`."""
    observer = watch()
    return [
        text
        for step in range(8)
        for text in observer.observe(
            step,
            replace(report(), norm=torch.tensor([0.1 * norm**step])),
            {"commitment": torch.tensor(0.001 * 2.0**step)},
        )
    ]


def test_a_scale_that_grows_with_the_codebook_is_no_alarm() -> None:
    assert growing(norm=2**0.5) == []


def test_a_term_that_outgrows_the_codebook_is_an_alarm() -> None:
    (text,) = growing(norm=1.0)
    assert "The commitment term grew from 0.001 to 0.008" in text


def test_a_layer_gets_advice_in_its_own_arguments() -> None:
    observer = CollapseWatch(quiet=100, warmup=0, quantizer=LookupFreeQuantizer(4))
    (text,) = observer.observe(0, report(share=0.8), {})
    assert "LookupFreeQuantizer(entropy_weight=...)" in text

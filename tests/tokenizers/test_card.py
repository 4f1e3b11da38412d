"""The model card and its section of held-out figures."""

from __future__ import annotations

from vocabula.signals import Image
from vocabula.tokenizers.card import HELD_OUT, model_card
from vocabula.tokenizers.card_update import held_out_figures, with_held_out


def card(**more: str) -> str:
    return model_card(
        summary="A summary.", signal=Image(3), fingerprint="f" * 64, settings={"a": 1}, **more
    )


def test_figures_are_a_table_that_names_its_data() -> None:
    text = held_out_figures({"psnr": 25.1234567, "usage": 1.0}, data="photos/test", count="1 image")
    assert text.startswith("Measured on 1 image of photos/test.\n")
    assert "| psnr | 25.1235 |" in text


def test_a_section_is_replaced_and_all_else_stays() -> None:
    before = card(data="photos", command="vocabula train photos")
    after = with_held_out(before, "Measured on 2 images.")
    assert "Not measured" in before and "Not measured" not in after
    assert after == before.replace(
        "Not measured: `vocabula export RUN DIR --data HELD-OUT` does so.", "Measured on 2 images."
    )
    assert with_held_out(after, "Measured on 3 images.").count(HELD_OUT) == 1


def test_a_card_of_an_earlier_version_gets_the_section() -> None:
    earlier = "# Title\n\nWords.\n\n## Metrics\n\nNone.\n\n## Command\n\nNot stated.\n"
    wanted = earlier.replace("## Command", "## Held-out figures\n\nNew.\n\n## Command")
    assert with_held_out(earlier, "New.") == wanted
    assert with_held_out("", "New.") == "\n## Held-out figures\n\nNew.\n"

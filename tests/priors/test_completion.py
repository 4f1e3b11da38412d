"""What is known of a part of an image: values by hand."""

from __future__ import annotations

import torch

from vocabula.priors.completion import fill_hidden, known_positions


def test_a_code_is_known_when_all_its_pixels_are() -> None:
    keep = torch.ones(1, 5, 6, dtype=torch.bool)
    keep[0, 0, 0] = keep[0, 4, 5] = False
    # 2 x 2 pixels a code, the third row of codes has one row of pixels
    expected = [[False, True, True], [True, True, True], [True, True, False]]
    assert known_positions(keep, 2, (3, 3))[0].tolist() == expected


def test_hidden_pixels_get_the_mean_of_their_neighbours_ring_by_ring() -> None:
    image = torch.tensor([[[[0.2, 9.0, 9.0, 9.0, 0.6]]]])
    keep = torch.tensor([[[True, False, False, False, True]]])
    # first the outer ones from what is kept, then the middle from both
    expected = [0.2, 0.2, 0.4, 0.6, 0.6]
    torch.testing.assert_close(fill_hidden(image, keep).flatten(), torch.tensor(expected))


def test_kept_pixels_stay_and_hidden_ones_leave_no_trace() -> None:
    image, keep = torch.rand(3, 2, 9, 7), torch.rand(3, 9, 7) < 0.2
    filled = fill_hidden(image, keep)
    kept = keep[:, None].expand_as(image)
    assert torch.equal(filled[kept], image[kept])
    assert torch.equal(fill_hidden(torch.where(kept, image, torch.rand(3, 2, 9, 7)), keep), filled)
    assert filled.min() >= 0 and filled.max() <= 1 + 1e-6


def test_of_an_image_that_is_all_hidden_nothing_is_known() -> None:
    filled = fill_hidden(torch.rand(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool))
    assert filled.unique().tolist() == [0.5]

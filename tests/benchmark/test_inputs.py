"""Inputs are the same everywhere, and the checks find wrong codes and only those."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vocabula.benchmark import inputs


def test_vectors_depend_on_seed_and_shape_alone() -> None:
    x = inputs.normal(500, 4, seed=3)
    assert x.dtype == np.float32 and x.shape == (500, 4)
    assert np.array_equal(x, inputs.normal(500, 4, seed=3))
    assert not np.array_equal(x, inputs.normal(500, 4, seed=4))
    assert abs(float(x.mean())) < 0.1 and abs(float(x.std()) - 1) < 0.1
    far = inputs.normal(500, 4, seed=3, offset=1000)
    assert np.allclose(far - 1000, x, atol=1e-4)


def test_rows_are_spread_over_all() -> None:
    assert inputs.some_rows(3).tolist() == [0, 1, 2]
    rows = inputs.some_rows(65536)
    assert len(rows) == inputs.CHECKED_ROWS
    assert (rows[0], rows[-1]) == (0, 65535)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_wrong_codes_are_counted(offset: float) -> None:
    # On a line, the nearest of 0, 1 and 5 is known by hand.
    codebook = np.float32([[0], [1], [5]]) + np.float32(offset)
    z = np.float32([[0.1], [0.75], [3.5], [9.0]]) + np.float32(offset)
    assert inputs.wrong_codes(z, codebook, [0, 1, 2, 2]) == 0
    assert inputs.wrong_codes(z, codebook, [1, 1, 2, 0]) == 2


def test_a_tie_is_not_clear() -> None:
    assert inputs.wrong_codes([[0.5]], [[0.0], [1.0]], [1]) == 0


def test_residual_codes_are_checked_stage_by_stage() -> None:
    books = [[[0.0], [4.0]], [[-1.0], [1.0]]]
    # 4.9 -> 4, 0.9 left -> 1; 0.2 -> 0, 0.2 left -> 1
    z, codes = [[4.9], [0.2]], np.array([[1, 1], [0, 1]])
    assert inputs.wrong_residual_codes(z, books, codes) == 0
    assert inputs.wrong_residual_codes(z, books, np.array([[1, 0], [0, 1]])) == 1


def test_product_codes_are_checked_part_by_part() -> None:
    books = [[[0.0], [1.0]], [[0.0], [10.0]]]
    z = [[0.9, 2.0], [0.1, 8.0]]
    assert inputs.wrong_product_codes(z, books, np.array([[1, 0], [0, 1]])) == 0
    assert inputs.wrong_product_codes(z, books, np.array([[1, 1], [1, 1]])) == 2


def test_sign_codes_have_the_first_component_on_top() -> None:
    z = [[0.5, -1.0, 2.0], [-0.5, -1.0, -2.0]]  # 101, 000
    assert inputs.wrong_sign_codes(z, [5, 0]) == 0
    assert inputs.wrong_sign_codes(z, [1, 0]) == 1


def test_level_codes_are_those_of_the_paper() -> None:
    # Three levels: tanh(z) to -1, 0, 1, digits 0, 1, 2; the first is least significant.
    z = [[-3.0, 3.0], [0.0, -3.0], [3.0, 0.1]]
    expected = [0 + 3 * 2, 1 + 3 * 0, 2 + 3 * 1]
    assert inputs.wrong_level_codes(z, [3, 3], expected) == 0
    assert inputs.wrong_level_codes(z, [3, 3], [6, 1, 2]) == 1
    # Eight levels lie at -4 .. 3: an input of zero, shifted to the offset, is at zero, digit 4.
    assert inputs.wrong_level_codes([[0.0]], [8], [4]) == 0


def test_inertia_is_the_mean_squared_distance() -> None:
    x, centroids = [[0.0, 0.0], [3.0, 4.0], [10.0, 0.0]], [[0.0, 0.0], [10.0, 1.0]]
    assert math.isclose(inputs.inertia(x, centroids), (0 + 25 + 1) / 3)

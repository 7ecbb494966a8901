"""Tensors become arrays in one place; batches for an accelerator take few sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earwitness.core.device import filled_up, to_numpy


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool])
def test_tensors_become_arrays_of_the_same_values(dtype):
    tensor = torch.tensor([[0, 1], [1, 3]]).to(dtype)
    found = to_numpy(tensor)
    assert found.dtype == np.dtype("float32" if dtype == torch.bfloat16 else str(dtype).removeprefix("torch."))
    np.testing.assert_array_equal(found, tensor.tolist())


def test_gradients_and_inference_are_no_hindrance():
    leaf = torch.ones(3, requires_grad=True)
    np.testing.assert_array_equal(to_numpy(leaf * 2), [2, 2, 2])
    with torch.inference_mode():
        np.testing.assert_array_equal(to_numpy(torch.ones(2)), [1, 1])
    assert float(to_numpy(torch.tensor(2.5))) == 2.5


def test_batches_for_an_accelerator_take_few_sizes():
    sizes = {len(filled_up(torch.empty(n, 4, 3, device="meta"))) for n in range(1, 1001)}
    assert sizes == {2**power for power in range(11)}
    assert filled_up(torch.empty(0, 4, device="meta")).shape == (0, 4)
    for n in range(1, 20):
        here = torch.randn(n, 2)
        assert filled_up(here) is here

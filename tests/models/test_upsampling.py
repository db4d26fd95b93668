"""Upsampling: bilinear starts, geometry, borders and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.errors import ConfigError
from edgeseg.models.upsampling import UPSAMPLINGS, bilinear_kernel, spread, transposed_upsample


def test_kernel_of_stride_two_is_the_textbook_one() -> None:
    row = np.array([0.25, 0.75, 0.75, 0.25], np.float32)
    np.testing.assert_array_equal(bilinear_kernel(4, 2), np.outer(row, row))


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (3, 1), (8, 4), (5, 3), (6, 2), (64, 32)])
def test_every_output_phase_sums_to_one(kernel: int, stride: int) -> None:
    weights = bilinear_kernel(kernel, stride)
    for row in range(stride):
        for column in range(stride):
            assert weights[row::stride, column::stride].sum() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 4), (6, 3), (4, 0)])
def test_kernels_that_cannot_interpolate_are_refused(kernel: int, stride: int) -> None:
    with pytest.raises(ConfigError, match=f"={stride if stride == 0 else kernel}"):
        bilinear_kernel(kernel, stride)


@pytest.mark.parametrize("stride", [2, 3, 4, 8])
def test_interior_equals_interpolation_and_only_the_border_fades(stride: int) -> None:
    image = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(0)) + 1.0
    layer = transposed_upsample(3, 3, stride=stride)
    with torch.no_grad():
        upsampled = layer(image)
    expected = F.interpolate(image, scale_factor=stride, mode="bilinear", align_corners=False)
    assert upsampled.shape == expected.shape
    edge = stride // 2
    inner = (..., slice(edge, -edge), slice(edge, -edge))
    torch.testing.assert_close(upsampled[inner], expected[inner], rtol=0, atol=1e-6)
    # Outside, interpolation repeats the edge pixel, where the transposed convolution adds zeros: darker.
    assert bool((upsampled[..., :edge, :] < expected[..., :edge, :]).all())
    assert bool((upsampled[..., -edge:] < expected[..., -edge:]).all())


@pytest.mark.parametrize(("channels_in", "channels_out", "groups"), [(4, 2, 1), (2, 4, 1), (4, 4, 4), (4, 4, 2)])
def test_channels_map_to_their_partners(channels_in: int, channels_out: int, groups: int) -> None:
    layer = transposed_upsample(channels_in, channels_out, stride=2, groups=groups, bias=True)
    image = torch.arange(1.0, channels_in + 1).reshape(1, -1, 1, 1).expand(1, channels_in, 4, 4)
    with torch.no_grad():
        centre = layer(image)[0, :, 4, 4]
    expected = torch.zeros(channels_out)
    shared = min(channels_in, channels_out)
    expected[:shared] = torch.arange(1.0, shared + 1)
    torch.testing.assert_close(centre, expected)


@pytest.mark.parametrize("name", ["transposed", "subpixel", "unpool"])
@torch.inference_mode()
def test_every_upsampling_starts_as_bilinear_interpolation(name: str) -> None:
    logits = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    # Unpooling by 4 is two bilinear doublings, which is a smoother curve than one step of 4.
    stride = 2 if name == "unpool" else 8
    expected = UPSAMPLINGS["bilinear"](3, stride)(logits, (5 * stride, 6 * stride))
    found = UPSAMPLINGS[name](3, stride)(logits, (5 * stride, 6 * stride))
    inside = (..., slice(stride, -stride), slice(stride, -stride))
    torch.testing.assert_close(found[inside], expected[inside])


@pytest.mark.parametrize("name", UPSAMPLINGS)
@pytest.mark.parametrize("stride", [2, 8, 16])
@torch.inference_mode()
def test_odd_sizes_are_cropped_at_the_bottom_right(name: str, stride: int) -> None:
    upsample = UPSAMPLINGS[name](2, stride)
    logits = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    odd = upsample(logits, (3 * stride - 1, 4 * stride - 1))
    assert odd.shape == (1, 2, 3 * stride - 1, 4 * stride - 1)
    if name != "bilinear":
        assert torch.equal(odd, upsample(logits, (3 * stride, 4 * stride))[..., :-1, :-1])


def test_a_class_starts_from_its_own_scores() -> None:
    for name, build in UPSAMPLINGS.items():
        logits = torch.zeros(1, 3, 4, 4)
        logits[:, 1] = 1.0
        with torch.no_grad():
            scores = build(3, 4)(logits, (16, 16))
        assert bool((scores[:, [0, 2]] == 0).all()), name
        assert scores[0, 1, 8, 8] == 1.0, name


def test_spread_puts_values_into_the_top_left_of_their_cells() -> None:
    values = torch.arange(1.0, 13).reshape(1, 2, 2, 3)
    expected = torch.zeros(1, 2, 4, 6)
    expected[..., ::2, ::2] = values
    assert torch.equal(spread(values), expected)


def test_a_subpixel_is_a_channel_of_the_convolution() -> None:
    upsample = UPSAMPLINGS["subpixel"](1, 2)
    conv = upsample.get_submodule("conv")
    assert isinstance(conv, nn.Conv2d)
    assert conv.weight.shape == (4, 1, 3, 3)
    with torch.no_grad():
        conv.weight.zero_()
        assert conv.bias is not None
        conv.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        assert upsample(torch.zeros(1, 1, 1, 2), (2, 4)).tolist() == [[[[1, 2, 1, 2], [3, 4, 3, 4]]]]


def test_unpooling_needs_a_power_of_two() -> None:
    with pytest.raises(ConfigError, match="stride=6: unpooling doubles"):
        UPSAMPLINGS["unpool"](2, 6)

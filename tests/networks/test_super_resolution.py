"""Wavelets and scattering against closed forms, pretrained networks against what they were trained for."""

import math

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import avg_pool2d, relu

from gibbsian.core import DataSpace
from gibbsian.core.imaging import upscale
from gibbsian.core.paths import roots
from gibbsian.methods.super_resolution.scattering import (
    FREQUENCY,
    WIDTH,
    ScatteringStatistics,
    gaussian,
    morlet,
)
from gibbsian.methods.super_resolution.upsamplers import statistics_space
from gibbsian.networks.pretrained import MOBILENET, SQUEEZENET, MobileNet, SqueezeNet
from tests.nets import build_named

GREY, COLOUR = (
    DataSpace((1, 16, 16), "image", (-1.0, 1.0)),
    DataSpace((3, 12, 12), "image", (-1.0, 1.0)),
)


def wave(frequency, angle, size=48):
    """cos(frequency times the distance along ``angle``), ``[1, 1, size, size]``."""
    u = torch.arange(size, dtype=torch.float64)
    rows, columns = torch.meshgrid(u, u, indexing="ij")
    return torch.cos(frequency * (math.cos(angle) * rows + math.sin(angle) * columns))[None, None]


def response(frequency, turn, scale, angle, slant):
    """|psi^| of Morlet's wavelet in closed form at a wave of direction ``turn`` from the wavelet's."""
    sigma, xi = WIDTH * 2**scale, FREQUENCY / 2**scale

    def gauss(along, across):
        return math.exp(-(sigma**2) * (along**2 + (across / slant) ** 2) / 2)

    along, across = frequency * math.cos(turn), frequency * math.sin(turn)
    correction = gauss(xi, 0.0) * gauss(along, across)  # what makes the mean 0
    return gauss(along - xi, across) - correction


@pytest.mark.parametrize("scale", [0, 1, 2])
def test_wavelets_have_mean_zero_and_the_frequency_response_of_the_formula(scale):
    """Cut off at 3 standard deviations, the response is off by at most half a per cent of its peak."""
    psi = morlet(scale, 0.7, 0.5)
    assert psi.sum().abs() < 1e-14 and psi.shape == psi.T.shape
    radius = len(psi) // 2
    u = torch.arange(-radius, radius + 1, dtype=torch.float64)
    rows, columns = torch.meshgrid(u, u, indexing="ij")
    for share in (0.5, 1.0, 1.3):
        for turn in (0.0, 0.3, 1.2):
            frequency, angle = share * FREQUENCY / 2**scale, 0.7 + turn
            along = math.cos(angle) * rows + math.sin(angle) * columns
            found = (psi * torch.polar(torch.ones_like(along), -frequency * along)).sum()
            assert abs(found - response(frequency, turn, scale, 0.7, 0.5)) < 0.015


def test_the_low_pass_is_a_gaussian_of_sum_one():
    phi = gaussian(1.6)
    u = torch.arange(len(phi), dtype=torch.float64) - len(phi) // 2
    assert math.isclose(float(phi.sum()), 1, rel_tol=1e-12)
    assert math.isclose(float((phi.sum(0) * u.square()).sum()), 1.6**2, rel_tol=0.03)


def test_first_order_maps_of_a_wave_are_half_the_frequency_response():
    """cos = (e + e*)/2 and the wavelet answers to one of the two; away from the border."""
    options = dict(scales=2, orientations=8, scattering_order=1)
    network = ScatteringStatistics(DataSpace((1, 48, 48), "image"), **options).double()
    angle = 2 * math.pi / 8
    maps = network(wave(FREQUENCY / 2, angle))
    assert maps.shape == (1, 1 + 2 * 8, 12, 12)
    middle = maps[0, :, 5:7, 5:7].flatten(1)
    low_pass = math.exp(-((1.6 * FREQUENCY / 2) ** 2) / 2)
    assert 0.5 * low_pass < middle[0].abs().max() < 1.02 * low_pass
    for j in range(2):
        for turn in range(8):
            truth = 0.5 * abs(response(FREQUENCY / 2, angle - math.pi * turn / 8, j, 0.0, 0.5))
            found = middle[1 + 8 * j + turn]
            assert (found - truth).abs().max() < 0.02, (j, turn)


def test_second_order_sees_a_modulated_wave_where_first_order_averages_it():
    """The modulus of a fast wave whose strength varies slowly varies so; only order 2 says how fast."""
    options = dict(scales=2, orientations=4, scattering_order=2)
    network = ScatteringStatistics(DataSpace((1, 48, 48), "image"), **options).double()
    fast = wave(FREQUENCY, 0.0)
    slow = 1 + wave(FREQUENCY / 2, math.pi / 2)
    plain, modulated = network(fast)[0, :, 4:8, 4:8], network(fast * slow)[0, :, 4:8, 4:8]
    assert len(plain) == 1 + 2 * 4 + 4 * 4
    across = slice(9, 13)  # of the wavelet along the fast wave, then of the four slower ones
    found = modulated[across].mean((1, 2))
    assert int(found.argmax()) == 2 and found[2] > 5 * plain[across].max()
    assert torch.allclose(plain[1].mean(), modulated[1].mean(), rtol=0.05)


def test_scattering_counts_sizes_shifts_and_learns():
    options = dict(scales=2, orientations=3, scattering_order=2)
    network = build_named("sufficient_statistics", "scattering", COLOUR, options).double()
    y = torch.rand(2, 3, 13, 18, dtype=torch.float64)
    maps = network(y)
    assert maps.shape == (2, 3 * (1 + 2 * 3 + 9), 4, 5)
    torch.testing.assert_close(network(y + 0.3)[:, 3:], maps[:, 3:], atol=1e-6, rtol=0)
    torch.testing.assert_close(network(y + 0.3)[:, :3], maps[:, :3] + 0.3)
    assert torch.autograd.gradcheck(network, y[:1, :, :5, :5].clone().requires_grad_())
    found = torch.autograd.grad(maps.sum(), list(network.parameters()))
    assert len(found) == 2 and all(bool(g.abs().sum() > 0) for g in found)


def test_point_networks_enlarge_and_the_sub_pixel_one_starts_as_the_interpolation():
    x = torch.rand(2, 3, 5, 4)
    for factor in (2, 3, 4):
        options = dict(upscaling_factor=factor, channels=4)
        network = build_named("upsampler", "subpixel", COLOUR, options)
        assert torch.equal(network(x), upscale(x, factor))
        assert build_named("upsampler", "srcnn", COLOUR, options)(x).shape == (
            2,
            3,
            5 * factor,
            4 * factor,
        )
    assert not torch.equal(build_named("upsampler", "srcnn", COLOUR, options)(x), upscale(x, 4))


def test_an_untrained_predictor_predicts_that_the_estimate_is_right():
    network = build_named(
        "sufficient_statistics_predictor",
        "residual",
        DataSpace((7, 4, 4), "image"),
        dict(channels=4),
    )
    maps = torch.rand(2, 7, 3, 5)
    assert torch.equal(network(maps), maps)


def test_statistics_must_be_maps():
    assert statistics_space(ScatteringStatistics(GREY, scales=3), GREY).shape == (25, 2, 2)
    with pytest.raises(ValueError, match=r"must map images \[B, C, H, W\] to maps .* \[1, 256\]"):
        statistics_space(nn.Flatten(), GREY)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scattering_order": 3}, "order of a scattering"),
        ({"upscaling_factor": 0}, "upscaling_factor must be"),
    ],
)
def test_unusable_options(options, words):
    with pytest.raises(ValueError, match=words):
        name = (
            ("sufficient_statistics", "scattering")
            if "scattering_order" in options
            else ("upsampler", "subpixel")
        )
        build_named(*name, COLOUR, options)


def test_missing_weights_are_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("GIBBSIAN_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="network squeezenet needs the file nets/squeezenet11"):
        SqueezeNet(COLOUR)
    with pytest.raises(ValueError, match="depths 1 to 4, not 5"):
        SqueezeNet(COLOUR, depth=5)


def data_file(name):
    """The file under a data root, or the test is skipped."""
    for place in roots():
        if (place / name).is_file():
            return place / name
    pytest.skip(f"{name} is not under $GIBBSIAN_DATA")


def monarch():
    """The photograph of a butterfly, ``[1, 3, 224, 224]`` in [-1, 1]."""
    picture = Image.open(data_file("photos/monarch.png")).convert("RGB")
    array = np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC))
    return torch.from_numpy(array.copy()).permute(2, 0, 1)[None] / 127.5 - 1


MONARCH = 323
"""Its class among ImageNet's thousand, from 0."""


def test_squeezenet_recognises_what_it_was_trained_for():
    tensors = safetensors.torch.load_file(data_file(SQUEEZENET))
    features = SqueezeNet(DataSpace((3, 224, 224), "image"), depth=4)
    with torch.no_grad():
        maps = features(monarch())
        head = nn.functional.conv2d(maps, tensors["conv10.weight"].float(), tensors["conv10.bias"])
    assert int(relu(head).mean((2, 3)).argmax()) == MONARCH
    assert all(p.requires_grad for p in features.parameters())


def test_mobilenet_recognises_what_it_was_trained_for():
    tensors = safetensors.torch.load_file(data_file(MOBILENET))
    network = MobileNet((3, 13))
    with torch.no_grad():
        early, last = network(monarch())
    assert early.shape == (1, 128, 56, 56) and last.shape == (1, 1024, 7, 7)
    scores = avg_pool2d(last, 7).flatten() @ tensors["head.weight"].float().T + tensors["head.bias"]
    assert int(scores.argmax()) == MONARCH + 1  # class 0 is the background
    assert not any(p.requires_grad for p in network.parameters())

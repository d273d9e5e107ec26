"""Features of networks trained on ImageNet, with weights from files: statistics and perceptual distances.

Images are in the networks' units, [-1, 1], RGB or grey; the weights lie in the folder ``nets`` of the
data root ($GIBBSIAN_DATA or the user's cache) and are never fetched.
"""

from __future__ import annotations

from collections.abc import Sequence

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad, relu, relu6

from gibbsian.core import DataSpace
from gibbsian.core.paths import find
from gibbsian.networks.options import check_counts
from gibbsian.networks.trunks import image_shape

SQUEEZENET, MOBILENET = (
    f"nets/{name}_imagenet.safetensors" for name in ("squeezenet11", "mobilenet_v1")
)


def weights(file: str, network: str) -> dict[str, Tensor]:
    """The tensors of ``file`` under a root, in float32; ValueError saying what to do if it is missing."""
    tensors = safetensors.torch.load_file(find(file, f"the network {network}"))
    return {name: tensor.float() for name, tensor in tensors.items()}


def colours(y: Tensor) -> Tensor:
    """``[B, 1 or 3, H, W]`` in [-1, 1] as RGB in [0, 255]; ValueError for other channels."""
    if y.shape[1] not in (1, 3):
        raise ValueError(f"this network sees grey or RGB images, not {y.shape[1]} channels")
    return (127.5 * (y + 1.0)).expand(-1, 3, -1, -1)


class Fire(nn.Module):
    """Squeeze to few channels, expand by 1x1 and 3x3 (Iandola et al. 2016, section 3.1)."""

    def __init__(self, before: int, squeezed: int, expanded: int):
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(before, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, before, h, w] -> [B, 2 expanded, h, w]``."""
        x = relu(self.squeeze1x1(x))
        return torch.cat([relu(self.expand1x1(x)), relu(self.expand3x3(x))], 1)


FIRES: tuple[tuple[tuple[int, int, int, int], ...], ...] = (
    ((2, 64, 16, 64), (3, 128, 16, 64)),
    ((4, 128, 32, 128), (5, 256, 32, 128)),
    ((6, 256, 48, 192), (7, 384, 48, 192), (8, 384, 64, 256), (9, 512, 64, 256)),
)
"""Number, incoming, squeezed and expanded channels of the modules behind each pooling."""
MEAN_BGR = (104.0, 117.0, 123.0)


class SqueezeNet(nn.Module):
    """Features of SqueezeNet 1.1: ``depth`` 1 conv1, 2 fire3, 3 fire5, 4 fire9, rectified.

    ``[B, 1 or 3, H, W]`` in [-1, 1] to ``[B, 64, 128, 256 or 512, h, w]``, about 2, 4, 8 or 16 times
    smaller (Iandola et al. 2016; version 1.1 of their code). Raises ValueError for a depth beyond 4 or
    a missing file of weights.

    Args:
        depth: number of the stage whose features are taken.
    """

    def __init__(self, space: DataSpace, *, depth: int = 2):
        super().__init__()
        check_counts(depth=depth)
        colours(torch.zeros(1, *image_shape(space)))
        if depth > 1 + len(FIRES):
            raise ValueError(f"squeezenet has depths 1 to {1 + len(FIRES)}, not {depth}")
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        self.stages = FIRES[: depth - 1]
        for stage in self.stages:
            for number, *sizes in stage:
                self.add_module(f"fire{number}", Fire(*sizes))
        found = weights(SQUEEZENET, "squeezenet")
        self.load_state_dict({name: found[name] for name in self.state_dict()})

    def forward(self, y: Tensor) -> Tensor:
        """``[B, C, H, W] -> [B, K, h, w]``."""
        mean = torch.tensor(MEAN_BGR, dtype=y.dtype, device=y.device)
        x = relu(self.conv1(colours(y).flip(1) - mean.view(3, 1, 1)))
        for stage in self.stages:
            x = max_pool2d(x, 3, 2, ceil_mode=True)
            for number, *_ in stage:
                x = self.get_submodule(f"fire{number}")(x)
        return x


STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
TAPS = (3, 5, 11)
"""Blocks whose outputs a perceptual distance compares: 4, 8 and 16 times smaller than the image."""


def same(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """``layer`` after padding to ceil(d / stride) pixels a side, the odd one at the end (TensorFlow)."""
    size, stride = layer.kernel_size[0], layer.stride[0]
    edges: list[int] = []
    for d in (x.shape[3], x.shape[2]):
        total = max((-(-d // stride) - 1) * stride + size - d, 0)
        edges += [total // 2, total - total // 2]
    return relu6(layer(pad(x, edges)))


class MobileNet(nn.Module):
    """MobileNetV1 1.0 (Howard et al. 2017): features of some blocks, for judging rather than training.

    ``forward``: ``[B, 1 or 3, H, W]`` in [-1, 1] to the rectified outputs of the blocks ``taps``
    (1 to 13), each ``[B, K, h, w]``. Raises ValueError where the file of weights is missing.
    """

    def __init__(self, taps: Sequence[int] = TAPS):
        super().__init__()
        self.taps = tuple(taps)
        found = weights(MOBILENET, "mobilenet")
        self.layers = nn.ModuleDict()
        self.add("conv0", found, 2, 1)
        for block in range(1, max(self.taps) + 1):
            kernels = found[f"block{block}.depthwise.weight"]
            self.add(f"block{block}.depthwise", found, STRIDES[block - 1], len(kernels))
            self.add(f"block{block}.pointwise", found, 1, 1)
        self.requires_grad_(False)

    def add(self, name: str, found: dict[str, Tensor], stride: int, groups: int) -> None:
        """The convolution called ``name`` with its weights in place."""
        kernel, bias = found[f"{name}.weight"], found[f"{name}.bias"]
        after, before, size, _ = kernel.shape
        layer = nn.Conv2d(before * groups, after, size, stride=stride, groups=groups)
        layer.load_state_dict({"weight": kernel, "bias": bias})
        self.layers[name.replace(".", "_")] = layer

    def forward(self, y: Tensor) -> list[Tensor]:
        """One ``[B, K, h, w]`` per tap."""
        x = same(colours(y) / 127.5 - 1.0, self.layer("conv0"))
        outputs = []
        for block in range(1, max(self.taps) + 1):
            x = same(
                same(x, self.layer(f"block{block}_depthwise")),
                self.layer(f"block{block}_pointwise"),
            )
            if block in self.taps:
                outputs.append(x)
        return outputs

    def layer(self, name: str) -> nn.Conv2d:
        """A convolution by name."""
        found = self.layers[name]
        assert isinstance(found, nn.Conv2d)
        return found

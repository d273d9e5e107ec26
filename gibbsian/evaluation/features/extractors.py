"""Feature extractors by name, for images in the data's own units.

None of them is the network that FID and KID are defined by, and no number here is called so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gibbsian.core import DataSpace, nearest, tensor_files
from gibbsian.data.transforms import Transform
from gibbsian.evaluation import FeatureExtractor
from gibbsian.evaluation.features.classifier import load_classifier
from gibbsian.networks import MobileNet, SqueezeNet
from gibbsian.networks.user import build_user, load_user

SIDE = 128
"""Images are resized to this many pixels a side for networks of ImageNet, which know no smaller."""
LAST_BLOCK = 13
PRETRAINED = ("squeezenet", "mobilenet")
BUILT_IN = ("pixels", *PRETRAINED)


def build_extractor(name: str, transform: Transform) -> FeatureExtractor:
    """The extractor ``name`` of data rows ``[B, *transform.shape]`` in the data's units.

    - ``pixels``: the row itself, flattened; also for tables.
    - ``squeezenet``, ``mobilenet``: the last layer's maps, averaged over places (512 and 1024
      features), of images resized to 128x128; their weights are files of the data root.
    - a file written by ``gibbsian classifier``: what its head reads.
    - ``package.module:Class``: a module of one's own, from rows in the networks' units to ``[B, width]``,
      used in evaluation mode.

    Raises ValueError for an unknown name, naming the nearest, missing files, or data that do not suit.
    """
    if name == "pixels":
        width = int(torch.Size(transform.shape).numel())
        return FeatureExtractor("pixels", _flat, width, digest({}, {"name": name}))
    if name in PRETRAINED:
        return _pretrained(name, transform)
    if ":" in name and not Path(name).exists():
        return _users(name, transform)
    if Path(name).is_file():
        return _classifiers(name, transform)
    if name.endswith(".safetensors"):
        raise ValueError(f"there is no file {name}; make one with `gibbsian classifier`")
    raise nearest("feature extractor", name, BUILT_IN)


def class_predictions(file: Path, transform: Transform) -> FeatureExtractor:
    """log p(y|x) of the classifier in ``file``, for an Inception-type score; ValueErrors as above."""
    return _classifiers(str(file), transform, head=True)


def digest(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """A hash, 32 hexadecimal digits, of named tensors and of JSON-able ``facts`` about preprocessing."""
    return tensor_files.digest(tensors, json.dumps(facts, sort_keys=True))


def _flat(x: Tensor) -> Tensor:
    return x.flatten(1)


def _pretrained(name: str, transform: Transform) -> FeatureExtractor:
    if len(transform.shape) != 3 or transform.mode not in ("pixels", "binary"):
        raise ValueError(
            f"{name} sees images; these data have rows of shape {list(transform.shape)} "
            "(use pixels, or a module of your own)"
        )
    network: nn.Module
    if name == "squeezenet":
        space = DataSpace((transform.shape[0], SIDE, SIDE), "image", (-1.0, 1.0))
        network, width = SqueezeNet(space, depth=4), 512
    else:
        network, width = MobileNet((LAST_BLOCK,)), 1024
    network.eval().requires_grad_(False)
    facts = {"name": name, "side": SIDE, "transform": transform.to_config()}
    function = partial(_pooled, network=network, transform=transform)
    return FeatureExtractor(name, function, width, digest(network.state_dict(), facts))


def _pooled(x: Tensor, network: nn.Module, transform: Transform) -> Tensor:
    u = transform.encode(x)
    if transform.mode == "binary":
        u = 2.0 * u - 1.0
    maps = network(interpolate(u, (SIDE, SIDE), mode="bicubic", antialias=True))
    last: Tensor = maps[-1] if isinstance(maps, list) else maps
    return last.mean((2, 3))


def _users(name: str, transform: Transform) -> FeatureExtractor:
    space = DataSpace(transform.shape, "vector" if len(transform.shape) == 1 else "image")
    if transform.mode == "binary":
        space = replace(space, kind="binary")
    network = build_user(name, load_user(name), {}, space=space).eval().requires_grad_(False)
    function = partial(_encoded, network=network, transform=transform)
    found = function(torch.zeros(2, *transform.shape))
    if found.ndim != 2 or len(found) != 2:
        raise ValueError(
            f"{name} must return one row of features per observation, [B, width]; for two it "
            f"returned {list(found.shape)}"
        )
    facts = {"name": name, "transform": transform.to_config()}
    return FeatureExtractor(name, function, found.shape[1], digest(network.state_dict(), facts))


def _encoded(x: Tensor, network: nn.Module, transform: Transform) -> Tensor:
    features: Tensor = network(transform.encode(x))
    return features


def _classifiers(file: str, transform: Transform, head: bool = False) -> FeatureExtractor:
    classifier = load_classifier(Path(file))
    if classifier.space.shape != transform.shape:
        raise ValueError(
            f"the classifier in {file} sees rows of shape {list(classifier.space.shape)}; these "
            f"have {list(transform.shape)}"
        )
    classifier.requires_grad_(False)
    facts = {"head": head, "transform": classifier.transform.to_config()}
    function: Callable[[Tensor], Tensor] = classifier.features
    width = classifier.trunk.features
    if head:
        function, width = partial(_log_classes, logits=classifier.logits), classifier.classes
    return FeatureExtractor(file, function, width, digest(classifier.state_dict(), facts))


def _log_classes(x: Tensor, logits: Callable[[Tensor], Tensor]) -> Tensor:
    return logits(x).log_softmax(1)

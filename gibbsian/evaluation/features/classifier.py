"""A small classifier of images: it labels samples, and its features measure distances between sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from gibbsian.core import DataSpace, limits
from gibbsian.core.files import CorruptFileError
from gibbsian.core.randomness import kept_global, seed_global
from gibbsian.core.signatures import options_of
from gibbsian.core.tensor_files import read_tensors, write_tensors
from gibbsian.data import BatchStream, Dataset
from gibbsian.data.schema import space_of, transform_of
from gibbsian.data.transforms import Transform
from gibbsian.networks import ConvTrunk

FORMAT = "gibbsian-classifier-1"
CHUNK = 2_000


class Classifier(nn.Module):
    """A convolutional trunk and a linear head on images in the user's units.

    ``accuracy``: share of right labels among the test rows of the data it was trained on, 0 before.
    """

    def __init__(
        self, space: DataSpace, transform: Transform, classes: int, options: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.space, self.transform = space, transform
        self.classes, self.options = classes, options
        self.trunk = ConvTrunk(space, **options)
        self.head = nn.Linear(self.trunk.features, classes)
        self.accuracy = 0.0

    def forward(self, u: Tensor) -> Tensor:
        """Logits ``[B, classes]`` of images ``[B, C, H, W]`` in the networks' units."""
        logits: Tensor = self.head(self.trunk(u))
        return logits

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """Logits ``[N, classes]`` of images ``[N, C, H, W]`` in the user's units."""
        parts = [self(self.transform.encode(part)) for part in x.split(CHUNK)]
        return torch.cat(parts)

    def labels(self, x: Tensor) -> Tensor:
        """Class numbers ``[N]`` of images ``[N, C, H, W]`` in the user's units."""
        return self.logits(x).argmax(1)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """What the head reads, ``[N, width]``, of images ``[N, C, H, W]`` in the user's units."""
        return torch.cat([self.trunk(self.transform.encode(part)) for part in x.split(CHUNK)])

    def stack_labels(self, x: Tensor) -> Tensor:
        """Mode numbers sum_c label(channel c) classes^c, ``[N]``, of stacks ``[N, C, H, W]``.

        For three digits d1 + 10 d2 + 100 d3, out of 1000. Raises ValueError unless the classifier is
        one of grey images.
        """
        if self.space.shape[0] != 1:
            raise ValueError(
                f"stacks are labelled channel by channel, by a classifier of grey images; this one "
                f"takes {self.space.shape[0]} channels"
            )
        channels = [self.labels(x[:, c : c + 1]) for c in range(x.shape[1])]
        return torch.stack([c * self.classes**i for i, c in enumerate(channels)]).sum(0)


Variation = Callable[[Tensor, Generator], Tensor]
"""Images ``[B, C, H, W]`` in the networks' units to others of the same classes."""


def train_classifier(
    data: Dataset,
    epochs: int = 5,
    seed: int = 0,
    batch: int = 128,
    rate: float = 1e-3,
    variation: Variation | None = None,
) -> Classifier:
    """Fit a classifier to the training rows of labelled images; its accuracy is that on the test rows.

    Adam, the rate falling to zero along a cosine. With ``variation`` each step sees its images and
    as many fresh variations of them with the same labels, half the loss each: samples of a learned
    transition, for instance (Zhai et al. 2016, section 7.3). Raises ValueError for data that are no
    images or have no classes, and for fewer than one epoch.
    """
    labels = data.targets.get("train")
    if data.space.kind != "image" or labels is None or labels.dtype != torch.int64:
        raise ValueError(f"a classifier needs images with class labels; {data.name} has none")
    if epochs < 1:
        raise ValueError(f"the number of epochs must be at least 1, not {epochs}")
    classes = 1 + int(max(part.max() for part in data.targets.values()))
    with kept_global():
        seed_global(seed)
        options = {"width": 256, "channels": 32, "activation": "relu"}
        classifier = Classifier(data.space, data.transform, classes, options)
    stream = BatchStream(
        data.train, data.transform, min(batch, len(data.train)), seed, targets=labels
    )
    steps = epochs * stream.epoch_length
    adam = torch.optim.Adam(classifier.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    rng = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = next(stream)
        assert rows.target is not None
        adam.zero_grad()
        loss = cross_entropy(classifier(rows.x), rows.target)
        if variation is not None:
            loss = 0.5 * (loss + cross_entropy(classifier(variation(rows.x, rng)), rows.target))
        loss.backward()
        adam.step()
        schedule.step()
    right = classifier.labels(data.test) == data.targets["test"]
    classifier.accuracy = float(right.double().mean())
    return classifier


def save_classifier(classifier: Classifier, path: Path) -> None:
    """Write weights, sizes, transform and accuracy as one safetensors file."""
    space = classifier.space
    facts = {
        "format": FORMAT,
        "shape": space.shape,
        "box": space.box,
        "classes": classifier.classes,
        "accuracy": classifier.accuracy,
        "options": dict(classifier.options),
        "transform": classifier.transform.to_config(),
    }
    write_tensors(path, classifier.state_dict(), facts)


def load_classifier(path: Path) -> Classifier:
    """Read what ``save_classifier`` wrote; a CorruptFileError, a ValueError, names any other file."""
    tensors, facts = read_tensors(path)
    if facts.get("format") != FORMAT:
        raise CorruptFileError(f"{path} holds no classifier; make one with `gibbsian classifier`")
    space = space_of({"shape": facts["shape"], "kind": "image", "box": facts["box"]}, path)
    transform = transform_of(facts["transform"], space, path)
    options = {name: v for name, v in facts["options"].items() if name in options_of(ConvTrunk)}
    with limits.counted():
        classifier = Classifier(space, transform, facts["classes"], options)
    classifier.load_state_dict(tensors)
    classifier.accuracy = facts["accuracy"]
    return classifier.eval()

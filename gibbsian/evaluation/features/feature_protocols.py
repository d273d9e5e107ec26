"""Numbers on features, and which network's they are: those of two networks are never compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbsian.core import Estimate

CHUNK = 256

Distance = Callable[[Tensor, Tensor], Estimate]
"""Of features ``[N, width]`` and ``[M, width]``."""


@dataclass(frozen=True)
class FeatureExtractor:
    """Features of images or other rows, and who computes them.

    ``function``: ``[B, *event] -> [B, width]``, without randomness. ``digest`` is a hash of its weights
    and preprocessing: two extractors with equal digests give equal features.
    """

    name: str
    function: Callable[[Tensor], Tensor]
    width: int
    digest: str

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Features ``[N, width]`` of ``x [N, *event]``, 256 rows at a time.

        Raises ValueError for features of another shape or that are not finite.
        """
        features = torch.cat([self.function(part) for part in x.split(CHUNK)])
        if features.shape != (len(x), self.width):
            raise ValueError(
                f"the extractor {self} must return {self.width} features per row, shape "
                f"[{len(x)}, {self.width}]; it returned {list(features.shape)}"
            )
        if not torch.isfinite(features).all():
            raise ValueError(f"the extractor {self} returned features that are not finite")
        return features

    def __str__(self) -> str:
        return f"{self.name} ({self.digest[:8]})"


@dataclass(frozen=True)
class FeatureEstimate:
    """An estimate on the features of one extractor, named with its ``digest``.

    Ordering and subtracting raise ValueError where the extractors differ.
    """

    estimate: Estimate
    extractor: str
    digest: str

    @property
    def value(self) -> float:
        """The number."""
        return self.estimate.value

    @property
    def stderr(self) -> float:
        """Its standard error."""
        return self.estimate.stderr

    def __lt__(self, other: FeatureEstimate) -> bool:
        return self._value_of(other) > self.value

    def __gt__(self, other: FeatureEstimate) -> bool:
        return self._value_of(other) < self.value

    def __le__(self, other: FeatureEstimate) -> bool:
        return self._value_of(other) >= self.value

    def __ge__(self, other: FeatureEstimate) -> bool:
        return self._value_of(other) <= self.value

    def __sub__(self, other: FeatureEstimate) -> Estimate:
        """The difference, with the error of two independent numbers (too large for a shared test set)."""
        difference = self.value - self._value_of(other)
        stderr = (self.stderr**2 + other.stderr**2) ** 0.5
        return Estimate(difference, stderr, "both", "estimate", f"difference: {self.estimate.how}")

    def __str__(self) -> str:
        return f"{self.estimate}, features of {self.extractor} ({self.digest[:8]})"

    def _value_of(self, other: FeatureEstimate) -> float:
        if self.digest != other.digest or self.estimate.how != other.estimate.how:
            raise ValueError(
                f"{self.estimate.how} on {self.extractor} ({self.digest[:8]}) and "
                f"{other.estimate.how} on {other.extractor} ({other.digest[:8]}) cannot be "
                "compared; compute both with one extractor"
            )
        return other.value


def on_features(
    extractor: FeatureExtractor, distance: Distance, x: Tensor, x_model: Tensor
) -> FeatureEstimate:
    """``distance`` between the features of data ``x [N, *event]`` and of samples ``x_model [M, *event]``."""
    found = distance(extractor(x), extractor(x_model))
    return FeatureEstimate(found, extractor.name, extractor.digest)

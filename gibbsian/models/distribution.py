"""A trained model as a ``torch.distributions.Distribution``, in the data's units."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Size, Tensor
from torch.distributions import Distribution

from gibbsian.core import Interval, NotDefined
from gibbsian.core.measures import Box, Counting
from gibbsian.core.numerics import widest_float
from gibbsian.core.protocols import HasEnergy, HasGenerator, HasLogWeights
from gibbsian.data.transforms import Transform
from gibbsian.models.model import Model

Shape = Size | list[int] | tuple[int, ...]


def as_distribution(model: Model, seed: int = 0) -> ModelDistribution:
    """``model`` as a distribution whose draws and estimates come from ``seed``, one after the other.

    ``log_prob`` is there where it is exact (log Z by quadrature or enumeration), ``log_prob_bounds``
    wherever log Z has two sides or the model is directed, and ``rsample`` where a sample is the
    generator's output.
    """
    return ModelDistribution(model, seed)


class ModelDistribution(Distribution):
    """The distribution of a trained model; ``batch_shape`` is empty, ``event_shape`` that of one observation.

    Successive calls of ``sample`` go on in one stream of random numbers, which is the object's own;
    the global generator is not touched. Values on a grid are scored at the value itself.
    """

    arg_constraints = {}  # noqa: RUF012 - the interface's own attribute

    def __init__(self, model: Model, seed: int = 0):
        self.model, self.seed = model, seed
        self.rng = model.rng(seed)
        # Read by the interface: whether ``rsample`` works.
        self.has_rsample = is_pathwise(model)
        super().__init__(event_shape=Size(model.transform.shape), validate_args=False)

    @property
    def support(self) -> torch.distributions.constraints.Constraint:
        """Where the density may be positive: all reals, the box of the base measure, or bits."""
        return support_of(self.model)

    @cached_property
    def log_z(self) -> Interval | NotDefined:
        """log Z in the networks' units, from both sides; found once, when first asked for."""
        return self.model.log_z(seed=self.seed)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """``[*sample_shape, *event]`` in the data's units."""
        u = self.model.method.sample(math.prod(sample_shape), self.rng)
        return self.model.transform.decode(u).view(*sample_shape, *self.event_shape)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """The same draws with gradients to the generator's parameters.

        Raises ValueError unless ``has_rsample``: where a sample is not the generator's output, or is
        rounded to a grid.
        """
        method = self.model.method
        if not (self.has_rsample and isinstance(method, HasGenerator)):
            raise ValueError(
                f"samples of this {self.model.config.method} model are no differentiable function of "
                "noise; use sample"
            )
        u = method.generator(method.prior.sample(math.prod(sample_shape), self.rng))
        return self.model.transform.decode(u).view(*sample_shape, *self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Exact log-densities ``[*]`` of ``value [*, *event]``, in nats and the data's units.

        Raises ValueError where log Z is known from two sides only, or not at all.
        """
        lead, x = self._rows(value)
        found = self.model.log_prob(x, z=self._log_z(), seed=self.seed)
        return found.to(value.device).view(lead)

    @property
    def is_exact(self) -> bool:
        """Whether both sides of log Z are one number, up to the error of quadrature."""
        found = self.log_z
        return isinstance(found, Interval) and found.lower.standing == "exact"

    def log_prob_bounds(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Lower and upper log-densities, ``[*]`` each, of ``value [*, *event]``.

        They have the standing and the standard error of ``log_z``'s upper and lower side. Of directed
        models the lower side is the importance bound, a bound in expectation, and the upper one
        infinite. Raises ValueError where log Z is not defined, and for rows of another shape.
        """
        lead, x = self._rows(value)
        sides = self.model.log_prob_bounds(x, z=self._log_z(), seed=self.seed)
        below, above = (side.to(value.device).view(lead) for side in sides)
        return below, above

    def _log_z(self) -> Interval | NotDefined | None:
        """log Z where a density needs it."""
        return None if isinstance(self.model.method, HasLogWeights) else self.log_z

    def _rows(self, value: Tensor) -> tuple[Size, Tensor]:
        """The leading shape of ``value [*, *event]``, and its events as rows."""
        lead = value.shape[: value.ndim - len(self.event_shape)]
        return lead, value.reshape(-1, *value.shape[len(lead) :])


def is_pathwise(model: Model) -> bool:
    """Whether the method's samples are G(z), z from its prior, looked at on two draws."""
    method = model.method
    if not isinstance(method, HasGenerator) or model.transform.dequantises:
        return False
    with torch.no_grad():
        x_model = method.generator(method.prior.sample(2, model.rng(0)))
        return torch.equal(x_model, method.sample(2, model.rng(0)))


def support_of(model: Model) -> torch.distributions.constraints.Constraint:
    """The support of the base measure in the data's units."""
    measure, ndim = model.method.measure, len(model.space.shape)
    constraints = torch.distributions.constraints
    one: torch.distributions.constraints.Constraint = constraints.real
    if isinstance(measure, Counting):
        one = constraints.boolean
    elif isinstance(measure, Box) and isinstance(model.method, HasEnergy):
        sides = walls(measure, model.transform)
        dtype = widest_float(model.device)
        one = constraints.interval(*(side.to(model.device, dtype) for side in sides))
    return constraints.independent(one, ndim)


def walls(box: Box, transform: Transform) -> tuple[Tensor, Tensor]:
    """The sides of ``box`` in the data's units, per column or one for all; grids keep their cells."""
    shift, scale, origin, unit = (
        torch.tensor(entries, dtype=torch.float64)
        for entries in (transform.shift, transform.scale, transform.origin, transform.unit)
    )
    low, high = (origin + unit * (shift + scale * side) for side in (box.low, box.high))
    return low, high

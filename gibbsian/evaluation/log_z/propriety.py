"""Whether exp(-E) can have an integral over R^d at all, as far as cheap tests show.

Each test looks at radii from 1e6 to 1e8 times the spread of the given points, where an energy that
confines does so for good. "Not defined" is said only of what no proper density of ordinary form does:
the words of the answer are what was seen.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy, NotDefined, check_energy
from gibbsian.samplers.potential import gradient_of_rows

RADII = (1e6, 1e7, 1e8)
RAYS = 128
SHARE = 0.05
"""Of all rays: so many must show too little growth. One alone may lie in a cusp, which is thin."""
MARGIN = 1e-3
"""Above the growth at which the integral diverges as log r does, which rounding must not decide."""
HEAVY = 1.0
"""Degrees of freedom of Student's t below which so much mass lies far out that mixtures miss some."""
MOST_AXES = 64
CLOUD = 64
"""Points that are moved together along an axis."""
REMEDY = "declare a Box or a Gaussian base, or give the energy a quadratic envelope"


def in_double(energy: Energy, x: Tensor, dtype: torch.dtype) -> Tensor:
    """``energy`` at ``x [n, *event]`` in double precision if it takes that, else in ``dtype``.

    At radius 1e8 single precision is coarser than the energy's growth can be.
    """
    try:
        value = energy(x.double())
    except (
        RuntimeError,
        TypeError,
    ):  # a network's parameters, or a device, have a type of their own
        value = energy(x.to(dtype))
    return check_energy(value, len(x)).double()


def improper(energy: Energy, x: Tensor, rng: Generator) -> NotDefined | None:
    """What is wrong if exp(-E) has no integral over R^d, as far as it shows; None otherwise.

    ``x [n, *event]``: points that show centre and spread. Three tests: the energy is minus infinity
    at or between points; along rays in random directions it grows by no more than d ln 10 a decade, so
    that the integral of exp(-E) r^(d-1) dr diverges there; the points moved along an axis keep more
    density than the integral of dr / r allows, a tube or a slab of infinite mass. A narrow cone, or a
    tube in a direction that is no axis of the coordinates, of the points or of the energy's gradient,
    is not found.
    """
    with torch.no_grad():
        return bottomless(energy, x) or _rays(energy, x, rng) or _tubes(energy, x, rng)


def bottomless(energy: Energy, x: Tensor) -> NotDefined | None:
    """Whether the energy is minus infinity on the lines from the points' centre through them."""
    flat = x.flatten(1)
    centres = torch.stack([flat.mean(0), flat.median(0).values, torch.zeros_like(flat[0])])
    some = flat[:: max(1, len(flat) // CLOUD)]
    shares = torch.linspace(0.0, 1.5, 13, dtype=x.dtype, device=x.device)[:, None, None]
    lines = [centre + shares * (some - centre) for centre in centres]
    points = torch.cat([flat, *(line.flatten(0, 1) for line in lines)]).reshape(-1, *x.shape[1:])
    value = check_energy(energy(points), len(points))
    return minus_infinity(value, points)


def minus_infinity(value: Tensor, x: Tensor) -> NotDefined | None:
    """The answer where energies ``value [n]`` at ``x [n, *event]`` hold minus infinity."""
    bad = value == -math.inf
    if not bool(bad.any()):
        return None
    where = [round(float(v), 4) for v in x[int(bad.int().argmax())].flatten()[:6]]
    dots = ", ..." if x[0].numel() > 6 else ""
    return NotDefined(
        f"the energy is minus infinity at x = [{', '.join(map(str, where))}{dots}]: exp(-E) is "
        "infinite there and has no integral; a density must be finite"
    )


def _rays(energy: Energy, x: Tensor, rng: Generator) -> NotDefined | None:
    """Growth along random directions from the points' centre."""
    growth = _growth(energy, x, rng)
    n, d = RAYS, x[0].numel()
    loose = (growth < (d + MARGIN) * math.log(10)).all(0)
    if float(loose.double().mean()) < SHARE:
        return None
    return NotDefined(
        f"the energy does not confine on R^{d}: along {int(loose.sum())} of {n} random rays it grows "
        f"by {float(growth[:, loose].max()):.3g} nats a decade or less between 1e6 and 1e8 standard "
        f"deviations, and more than {d * math.log(10):.3g} are needed; {REMEDY}"
    )


def tail_power(energy: Energy, x: Tensor) -> float:
    """nu where exp(-E) falls off like r^-(d + nu) far out, at the slowest of 95 % of rays; inf if faster.

    ``x [n, *event]`` as in `improper`. Student's t has its degrees of freedom, a normal density inf.
    """
    with torch.no_grad():
        growth = _growth(energy, x, Generator(x.device).manual_seed(0))
    slowest = float(growth.amax(0).quantile(SHARE)) / math.log(10) - x[0].numel()
    return slowest if slowest < 1 / SHARE else math.inf


def _growth(energy: Energy, x: Tensor, rng: Generator) -> Tensor:
    """What the energy gains from each radius to the next along random rays from the points' centre, nats."""
    flat = x.flatten(1).double()
    n, d = RAYS, flat.shape[1]
    centre, spread = flat.mean(0), flat.std(0).clamp_min(1e-12 + 1e-6 * flat.std(0).amax())
    noise = torch.randn(n, d, dtype=torch.float64, generator=rng, device=rng.device)
    direction = spread * noise / noise.norm(dim=1, keepdim=True)
    far = [
        in_double(energy, (centre + r * direction).reshape(n, *x.shape[1:]), x.dtype) for r in RADII
    ]
    growth = torch.stack(far).diff(dim=0)
    return torch.where(growth.isnan(), math.inf, growth)  # inf - inf: confined


def _tubes(energy: Energy, x: Tensor, rng: Generator) -> NotDefined | None:
    """Density of the points moved far along axes: coordinates, principal ones, of the gradient."""
    flat = x.flatten(1).double()
    d = flat.shape[1]
    cloud = flat[torch.randperm(len(flat), generator=rng, device=rng.device)[:CLOUD]]
    scale = float(flat.std(0).mean())
    axes = _axes(energy, cloud, x)
    start = in_double(energy, cloud.reshape(-1, *x.shape[1:]), x.dtype)
    log_mass = []
    for radius in RADII:
        moved = cloud + radius * scale * axes[:, None]
        value = in_double(energy, moved.reshape(-1, *x.shape[1:]), x.dtype)
        ratio = start.min() - value.reshape(len(axes), -1)
        ratio = torch.where(ratio.isnan(), -math.inf, ratio)
        log_mass.append(ratio.clamp_max(1e3).median(1).values)
    fall = -torch.stack(log_mass).diff(dim=0)
    fall = torch.where(fall.isnan(), math.inf, fall)
    loose = (fall < (1 + MARGIN) * math.log(10)).all(0) & torch.stack(log_mass).isfinite().all(0)
    # Less than at the best point and rising: the line has cut across a valley that bends, and is no tube.
    loose &= (log_mass[-1] > 0) | (fall > -math.log(10)).all(0)
    if not bool(loose.any()):
        return None
    axis = [round(float(v), 2) for v in axes[int(loose.int().argmax())][:6]]
    dots = ", ..." if d > 6 else ""
    return NotDefined(
        f"the energy does not confine on R^{d}: the given points, moved 1e6 to 1e8 standard "
        f"deviations along [{', '.join(map(str, axis))}{dots}], keep energies that grow by less than "
        f"ln 10 a decade, so that a tube in that direction has infinite mass; {REMEDY}"
    )


def _axes(energy: Energy, cloud: Tensor, x: Tensor) -> Tensor:
    """Unit vectors ``[k, d]``, both ways: of the coordinates, the points, and the energy's gradient.

    A direction that the energy does not see has no gradient: it is an axis of the gradients' moments.
    """
    d = cloud.shape[1]
    if d > MOST_AXES:
        axes = torch.linalg.svd(cloud - cloud.mean(0), full_matrices=False)[2][:MOST_AXES]
        return torch.cat([axes, -axes])
    points = cloud.reshape(-1, *x.shape[1:]).requires_grad_()
    with torch.enable_grad():
        value = in_double(energy, points, x.dtype)
    frames = [torch.eye(d, dtype=torch.float64, device=x.device)]
    frames.append(torch.linalg.eigh(torch.cov(cloud.T).reshape(d, d))[1].T)
    gradient = gradient_of_rows(value, points) if value.requires_grad else None
    if gradient is not None:
        gradient = gradient.flatten(1).double()
        gradient = gradient[gradient.isfinite().all(1)]
        gradient = gradient / gradient.norm(dim=1, keepdim=True).clamp_min(1e-30)
        if len(gradient):
            frames.append(torch.linalg.eigh(gradient.T @ gradient)[1].T)
    axes = torch.cat(frames)
    return torch.cat([axes, -axes])

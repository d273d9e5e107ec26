"""Estimates of log Z from weights, runs, two-sided draws and gaps, with honest standard errors.

Every function takes a leading dimension of independent repetitions, so that thousands of seeds are
judged at once, and returns ``LogZ``; ``LogZ.estimate()`` is what users see.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gibbsian.core import Estimate, Side, Standing
from gibbsian.samplers import importance_ess, pareto_k

FEW = 100
"""Effective draws below which an estimate from weights is not trusted."""
HEAVY = 0.7
"""Pareto k-hat above which the error of a mean of weights is not trusted (Vehtari et al., 2024)."""
LARGE = 0.5
"""Standard error (nats) above which a logarithm's interval is not trusted."""
SPREAD = 0.35
"""Standard deviation (nats) between single runs above which their mean is not trusted: the bias of a
logarithm, about half the variance, is then no longer small against the error of 8 runs."""
DISAGREE = 3.5
"""Standard errors apart at which two estimates are said to disagree: with 15 pairs a false alarm in
under 1 % of the cases."""
ROUNDING = 1e-4
"""Nats by which two numbers computed in single precision may differ."""
MARKOV_DELTA = 0.05
Z95 = 1.959964


@dataclass(frozen=True)
class LogZ:
    """log Z in nats, ``value, stderr, low, high [S]``: low and high are its own 95 % interval.

    ``diagnostics``: name -> ``[S]``. ``concerns``: a sentence -> where it applies, ``[S]`` of bool.
    """

    how: str
    side: Side
    standing: Standing
    value: Tensor
    stderr: Tensor
    low: Tensor
    high: Tensor
    diagnostics: Mapping[str, Tensor] = field(default_factory=dict)
    concerns: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def warned(self) -> Tensor:
        """``[S]``: where the estimator itself says that it should not be trusted."""
        return torch.stack(list(self.concerns.values())).any(0)

    def estimate(self, run: int = 0) -> Estimate:
        """One repetition, with ``interval95`` and ``concerns`` among its diagnostics."""
        diagnostics = {name: float(value[run]) for name, value in self.diagnostics.items()}
        concerns = tuple(text for text, where in self.concerns.items() if where[run])
        interval = (float(self.low[run]), float(self.high[run]))
        return Estimate(
            value=float(self.value[run]),
            stderr=float(self.stderr[run]),
            side=self.side,
            standing=self.standing,
            how=self.how,
            diagnostics={**diagnostics, "interval95": interval, "concerns": concerns},
        )


def hull(sides: Sequence[Estimate]) -> tuple[Estimate, Estimate]:
    """Lower and upper side of estimates of which one is a bound in expectation from below.

    The least and the greatest value (the least of several is such a bound too); 1.96 of their standard
    errors reach as far as those of any estimate do, and their ``interval95`` as far as any one's.
    """
    low, high = min(sides, key=_value), max(sides, key=_value)
    down = max((low.value - each.value) / Z95 + each.stderr for each in sides)
    up = max((each.value - high.value) / Z95 + each.stderr for each in sides)
    intervals = [_interval95(each) for each in sides]
    least, most = min(one for one, _ in intervals), max(other for _, other in intervals)
    below = {**low.diagnostics, "interval95": (least, _interval95(low)[1])}
    above = {**high.diagnostics, "interval95": (_interval95(high)[0], most)}
    return (
        replace(low, stderr=down, side="lower", standing="bound in expectation", diagnostics=below),
        replace(high, stderr=up, side="upper", standing="estimate", diagnostics=above),
    )


def _interval95(estimate: Estimate) -> tuple[float, float]:
    """The estimate's own 95 % interval, or 1.96 standard errors on both sides where it has none."""
    half = Z95 * estimate.stderr
    own = estimate.diagnostics.get("interval95")
    return (estimate.value - half, estimate.value + half) if own is None else own


def _value(estimate: Estimate) -> float:
    return estimate.value


def disagreement(a: Estimate, b: Estimate) -> str | None:
    """What to say of two estimates that lie too far apart for their errors; None where they do not.

    Rounding is one of the errors: weights that are all equal have no other.
    """
    apart = abs(a.value - b.value) / math.hypot(a.stderr, b.stderr, ROUNDING)
    if apart <= DISAGREE:
        return None
    return (
        f"{a.how} and {b.how} disagree: {a.value:.4g} against {b.value:.4g}, "
        f"{apart:.1f} standard errors apart: these errors do not hold, and the truth may lie beyond both"
    )


def from_weights(
    log_weights: Tensor, how: str, *, reverse: bool = False, exact_start: bool = True
) -> LogZ:
    """log of the mean of independent weights ``[S, n]``, error by the delta method.

    Forward, E[weight] = Z: a bound in expectation from below, and a lower bound outright with
    probability 1 - delta after subtracting ln(1 / delta) (Markov's inequality; diagnostics
    ``markov_lower_95``). In ``reverse``, E[weight] = 1 / Z if the pass started at exact draws
    (``exact_start``): a bound in expectation from above; otherwise an estimate.
    """
    log_weights = log_weights.double()
    n = log_weights.shape[1]
    value = torch.logsumexp(log_weights, 1) - math.log(n)
    relative = (log_weights - value[:, None]).exp()
    stderr = relative.std(1) / math.sqrt(n)
    ess, k_hat = importance_ess(log_weights), pareto_k(log_weights)
    low, high = _skewed_interval(value, relative, stderr)
    diagnostics = {"ess": ess, "k_hat": k_hat}
    if not reverse:
        diagnostics["markov_lower_95"] = value - math.log(1 / MARKOV_DELTA)
    if reverse:
        value, low, high = -value, -high, -low
    return LogZ(
        how=how,
        side="upper" if reverse else "lower",
        standing="bound in expectation" if exact_start else "estimate",
        value=value,
        stderr=stderr,
        low=low,
        high=high,
        diagnostics=diagnostics,
        concerns={
            f"fewer than {FEW} effective draws": ess < FEW,
            f"heavy-tailed weights (Pareto k-hat above {HEAVY})": k_hat > HEAVY,
        },
    )


def _skewed_interval(value: Tensor, relative: Tensor, stderr: Tensor) -> tuple[Tensor, Tensor]:
    """95 % interval of the log of a mean of skewed positive numbers ``relative [S, n]``, mean 1.

    Hall's (1992) cubic transformation of Student's t takes the numbers' skewness out, on their own
    scale; the interval is never narrower than the delta method's, value -+ 1.96 stderr, on either side.
    """
    n = relative.shape[1]
    spread = relative.std(1, keepdim=True).clamp_min(1e-12)
    a = ((relative - 1) / spread).pow(3).mean(1).nan_to_num() / math.sqrt(n)
    a = torch.where(a.abs() < 1e-6, 1e-6, a)

    def quantile(q: float) -> Tensor:  # of t, where t + a t^2 / 3 + a^2 t^3 / 27 + a / 6 is normal
        cube = 1 + a * (q - a / 6)
        return 3 / a * (cube.sign() * cube.abs().pow(1 / 3) - 1)

    low = torch.log1p((-stderr * quantile(Z95)).clamp_min(-0.99))
    high = torch.log1p((-stderr * quantile(-Z95)).clamp_min(-0.99))
    return value + torch.minimum(low, -Z95 * stderr), value + torch.maximum(high, Z95 * stderr)


def from_runs(log_ratios: Tensor, how: str) -> LogZ:
    """log of the mean of unbiased estimates of Z from independent runs ``[S, R]``, as of SMC.

    The interval is Student's with R - 1 degrees of freedom. Raises ValueError for one run.
    """
    runs = log_ratios.shape[1]
    if runs < 2:
        raise ValueError("the error of SMC is taken from repetition; use at least two runs")
    value = torch.logsumexp(log_ratios, 1) - math.log(runs)
    relative = (log_ratios - value[:, None]).exp()
    stderr = relative.std(1) / math.sqrt(runs)
    reach = _student95(runs - 1) * stderr
    spread = log_ratios.std(1)
    return LogZ(
        how=how,
        side="lower",
        standing="bound in expectation",
        value=value,
        stderr=stderr,
        low=value - reach,
        high=value + reach,
        diagnostics={"run_spread": spread, "markov_lower_95": value - math.log(1 / MARKOV_DELTA)},
        concerns={f"runs differ by more than {SPREAD} nats (std)": spread > SPREAD},
    )


def bridge(forward: Tensor, reverse: Tensor, how: str = "bridge sampling") -> LogZ:
    """Bennett's acceptance ratio from log weights at both ends, ``[S, n]`` and ``[S, m]``.

    ``forward``: log exp(-U) / exp(-V) at draws of exp(-V), or the log weights of forward AIS;
    ``reverse``: the same log-ratio at draws of the target, or *minus* the log weights of reverse
    AIS (Crooks, 2000; the kernel must then be reversible: any Metropolis kernel, but neither block
    Gibbs nor an unadjusted one). Of m independent chains with several states each, ``[S, states, m]``.
    Solves sum sigma(w_f - c + M) = sum sigma(c - M - w_r), M = log(m / n), for c = log Z (Bennett,
    1976; the optimal bridge of Meng and Wong, 1996), where a chain counts as the mean of its states.
    Error: the sandwich formula for independent draws and chains.
    """
    forward, reverse = forward.double(), reverse.double()
    reverse = reverse[:, None] if reverse.ndim == 2 else reverse
    n, m = forward.shape[1], reverse.shape[2]
    offset = math.log(m / n)
    high = torch.maximum(forward.amax(1), reverse.amax((1, 2))) + 50.0
    low = torch.minimum(forward.amin(1), reverse.amin((1, 2))) - 50.0
    low = torch.maximum(low, high - 1e6)  # weights of -inf
    for _ in range(70):
        c = 0.5 * (low + high)
        a = torch.sigmoid(forward - c[:, None] + offset)
        b = torch.sigmoid(c[:, None, None] - offset - reverse)
        above = a.sum(1) < b.mean(1).sum(1)
        low, high = torch.where(above, low, c), torch.where(above, c, high)
    slope = (a * (1 - a)).sum(1) + (b * (1 - b)).mean(1).sum(1)
    b = b.mean(1)
    variance = (n * a.var(1) + m * b.var(1)) / slope.square()
    stderr = variance.sqrt()
    overlap = torch.minimum(importance_ess(a.log()), importance_ess(b.log()))
    return LogZ(
        how=how,
        side="both",
        standing="estimate",
        value=c,
        stderr=stderr,
        low=c - Z95 * stderr,
        high=c + Z95 * stderr,
        diagnostics={"overlap": overlap},
        concerns={
            f"the two ends overlap in fewer than {FEW // 4} effective draws": overlap < FEW / 4,
            f"a standard error above {LARGE} nats": ~(stderr <= LARGE),
        },
    )


def _student95(freedom: int) -> float:
    """97.5 % quantile of Student's t."""
    from scipy.special import stdtrit  # takes a tenth of a second to import

    return float(stdtrit(freedom, 0.975))


def thermodynamic(betas: Tensor, gap_mean: Tensor, gap_variance: Tensor, repeats: int) -> LogZ:
    """Thermodynamic integration, log Z = -int_0^1 E_beta[U - V] dbeta; all ``[K + 1, S * R]``.

    The trapezoid with the second-order correction of Friel, Hurn and Wyse (2014), which uses
    d/dbeta E[U - V] = -Var[U - V]. The R = ``repeats`` runs of each repetition give the error and
    Student's interval. It leaves out what the correction leaves of the discretisation: a
    correction larger than the error is a concern.
    """
    step = betas.diff(dim=0)
    trapezoid = (step * 0.5 * (gap_mean[1:] + gap_mean[:-1])).sum(0)
    correction = (step.square() / 12 * (gap_variance[1:] - gap_variance[:-1])).sum(0)
    values = -(trapezoid + correction).reshape(-1, repeats)
    size = correction.abs().reshape(-1, repeats).mean(1)
    value, spread = values.mean(1), values.std(1)
    stderr = spread / math.sqrt(repeats)
    reach = _student95(repeats - 1) * stderr
    return LogZ(
        how="thermodynamic integration",
        side="both",
        standing="estimate",
        value=value,
        stderr=stderr,
        low=value - reach,
        high=value + reach,
        diagnostics={"correction": size, "run_spread": spread},
        concerns={
            "the discretisation is coarse": size > stderr,
            f"runs differ by more than {SPREAD} nats (std)": ~(spread <= SPREAD),
        },
    )

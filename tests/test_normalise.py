"""log Z of trained models: where it looks, what the generator adds, and each energy computed once."""

import math

import pytest
import torch
from torch import nn

import gibbsian.models.log_density
from gibbsian.bounds import BarberAgakov, LogDetEntropy
from gibbsian.config import recipes
from gibbsian.config.config import replace
from gibbsian.core import Estimate, Interval, NotDefined
from gibbsian.models.evaluate import evaluate_run
from gibbsian.models.log_density import (
    between_log_likelihood,
    entropy_of,
    generator_bound,
    log_z,
    reference_points,
)
from gibbsian.models.model import Model
from gibbsian.models.scores import score_rows
from gibbsian.models.train import load_data, train


class Round(nn.Module):
    """E = |x|^2 / 2 + 1.5; counts the rows it is asked for."""

    confining, bounded = True, False

    def __init__(self):
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(1.5))
        self.rows = 0

    def forward(self, x):
        self.rows += len(x)
        return 0.5 * x.square().sum(1) + self.offset


class Scaled(nn.Module):
    """G(z) = s z."""

    def __init__(self, scale):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, z):
        return self.scale * z


class ScaledFlow(Scaled):
    """The same, knowing its volume."""

    def forward_with_log_det(self, z):
        return self(z), z.shape[1] * self.scale.log().expand(len(z))


def vgan(generator, **changes):
    config = replace(
        recipes.default_config("vgan", "gaussian-2-0"),
        **{
            "domain_half_width": "none",
            "generator_entropy": "none",
            "expert_entropy_weight": 0.0,
            **changes,
        },
        training={"rounds": 1, "device": "cpu"},
        generator_optimizer={"lr": 1e-30},
        energy_optimizer={"lr": 1e-30},
    )
    return train(config, networks={"energy": Round(), "generator": generator}), config


LOG_Z = math.log(2 * math.pi) - 1.5


@pytest.mark.parametrize(
    ("generator", "standing"), [(ScaledFlow, "bound in expectation"), (Scaled, "estimate")]
)
def test_the_generator_bounds_log_z_from_below(generator, standing):
    """KL(N(0, s^2 I) || N(0, I)) = s^2 - 1 - log s^2 in the plane is what is missing."""
    perfect, _ = vgan(generator(1.0))
    bound = generator_bound(perfect, 0)
    assert isinstance(bound, Estimate) and bound.standing == standing
    assert bound.value == pytest.approx(LOG_Z, abs=1e-5) and bound.stderr < 1e-6
    wide, config = vgan(generator(2.0))
    bound = generator_bound(wide, 0)
    # 4.5 standard errors: a false alarm in 7e-6 of the seeds.
    assert abs(bound.value - (LOG_Z - (4 - 1 - math.log(4)))) < 4.5 * bound.stderr
    interval = log_z(wide, None, 0, bound)
    assert isinstance(interval, Interval) and interval.lower.standing == "exact"
    assert interval.lower.diagnostics["estimates"]["generator"] == bound
    figures = evaluate_run(wide, load_data(config), 100, 0, ())
    assert standing in figures["rows"]["the same from below, by the generator"]
    assert ("if G is injective" in bound.how) == (standing == "estimate")


def test_a_flow_is_valued_by_its_own_volume():
    for generator, expected in ((ScaledFlow, LogDetEntropy), (Scaled, BarberAgakov)):
        method = vgan(generator(1.0))[0].method
        method.entropy_estimator = BarberAgakov(method.prior, nn.Linear(2, 4), 0.1)
        assert type(entropy_of(method)) is expected


def test_generators_that_bound_nothing():
    folded, _ = vgan(Scaled(0.0))
    assert generator_bound(folded, 0) == NotDefined("the generator's Jacobian has lost rank")
    outside, _ = vgan(ScaledFlow(9.0), domain_half_width="4.0")
    assert generator_bound(outside, 0) == NotDefined(
        "the generator's distribution reaches beyond the box"
    )
    assert generator_bound(cd(), 0) is None
    gan = train(
        replace(recipes.default_config("gan", "ring8"), training={"rounds": 1, "device": "cpu"}),
        source={"max_rows": 500},
    )
    assert generator_bound(gan, 0) is None and reference_points(gan, 0) is None


def cd(data="gaussian", **changes):
    config = replace(
        recipes.default_config("cd", data),
        chains=64,
        training={"rounds": 1, "device": "cpu"},
        energy_optimizer={"lr": 1e-30},
        **changes,
    )
    return train(config, networks={"energy": Round()}, source={"max_rows": 3000})


def test_scored_rows_have_no_say_in_log_z(monkeypatch):
    """What says where to look: samples and the training data's spread, whatever is scored."""
    seen = []

    def record(energy, measure, *, rng, reference_points, effort, variational):
        seen.append(reference_points)
        return NotDefined("not asked")

    monkeypatch.setattr(gibbsian.models.log_density, "log_partition", record)
    model = cd("gaussian-5-0", sampler={"steps_per_sample": 5})
    for x in (torch.zeros(5, 5), 1e3 + torch.zeros(5, 5)):
        score_rows(model, x, 0)
    assert torch.equal(seen[0], seen[1])
    assert seen[0].shape == (1000, 5), "samples, and points with the spread of the data"
    # Standard deviations of 1 within 4.5 errors, of 500 points and of the 2000 rows they stand for:
    # sqrt(1 / 1000 + 1 / 4000) = 0.035; a false alarm in 7e-6 for each of five.
    assert (seen[0][500:].std(0) - 1).abs().max() < 4.5 * 0.036
    with torch.no_grad():
        model.method.chains.zero_()
    assert (reference_points(model, 0).std(0) > 0.5).all(), "a collapsed sampler hides nothing"
    plane = cd()
    assert reference_points(plane, 0).shape == (500, 2), "quadrature needs no samples"
    plane.moments = None  # saved by an older version
    assert reference_points(plane, 0).shape == (500, 2)


def test_each_energy_is_computed_once(monkeypatch):
    interval = Interval(*[Estimate(LOG_Z, 0.0, "both", "exact", "known")] * 2)
    monkeypatch.setattr(gibbsian.models.log_density, "log_partition", lambda *_, **__: interval)
    model = cd()
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    before = model.method.energy.rows
    table, _ = score_rows(model, x, 0)
    assert model.method.energy.rows - before == 50
    truth = -0.5 * x.square().sum(1) - math.log(2 * math.pi)
    torch.testing.assert_close(table["log_density_lower"], truth, atol=1e-5, rtol=0)


def test_the_spread_of_the_training_data_is_saved(tmp_path):
    config = replace(
        recipes.default_config("cd", "ring8"), chains=16, training={"rounds": 1, "device": "cpu"}
    )
    model = train(config, source={"max_rows": 1000})
    model.save_pretrained(tmp_path)
    loaded = Model.from_pretrained(tmp_path)
    assert torch.equal(loaded.moments, model.moments) and loaded.moments.shape == (2, 2)
    assert torch.equal(reference_points(loaded, 3), reference_points(model, 3))


def test_log_p_star_is_in_the_user_s_units() -> None:
    """Rows ten times as large: both sides of log p* fall by log 10 for each of two columns."""
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    sides = []
    for scale in (1.0, 10.0):
        model = train(
            "bihm",
            scale * x,
            training={"rounds": 1, "device": "cpu"},
            belief_network={"layer_sizes": "3,2"},
        )
        z = log_z(model, None, 0)
        assert isinstance(z, Interval)
        found = between_log_likelihood(model, scale * x[:30], z, 0)
        sides.append((found.lower.value, found.upper.value))
    for small, large in zip(*sides, strict=True):
        assert small - large == pytest.approx(2 * math.log(10), abs=1e-4)

"""Estimators: scikit-learn's own checks, and densities and scores against the truth."""

import math

import jaxtyping
import numpy as np
import pytest
import sklearn
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from gibbsian.core import Interval
from gibbsian.integrations.scikit_learn import DensityEstimator, OutlierDetector, config_for

FEW = {"rounds": 3, "random_state": 0}
ABLE = {"chains": 64, "energy": {"width": 64, "fourier_features": 32, "fourier_scale": 2.0}}
SMALL = {
    "chains": 64,
    "sampler": {"steps_per_sample": 40},
    "energy": {"width": 16, "fourier_features": 0},
}


@pytest.fixture(scope="module", autouse=True)
def _as_users_run_it():
    """Without run-time type checks: scikit-learn hands over wrong types on purpose."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@parametrize_with_checks(
    [DensityEstimator(rounds=3), OutlierDetector("cd", rounds=3), OutlierDetector(rounds=3)]
)
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def law():
    """Two dependent columns far from standard units."""
    return stats.multivariate_normal([5.0, -300.0], [[4.0, 60.0], [60.0, 2500.0]], seed=0)


@pytest.fixture(scope="module")
def fitted(law):
    rows = law.rvs(400, random_state=0)
    return rows, DensityEstimator(rounds=150, options=SMALL, random_state=0).fit(rows)


@pytest.fixture(scope="module")
def hasty(law):
    """Good enough for identities that hold of any fit."""
    rows = law.rvs(200, random_state=0)
    return rows, DensityEstimator(rounds=8, options=SMALL, random_state=0).fit(rows)


def test_log_densities_are_those_of_the_law_in_its_own_units(law, fitted):
    """Of a normal distribution of 400 rows: KL and spread of a fit this short are a few tenths of a nat."""
    _, model = fitted
    x = law.rvs(1_000, random_state=1)
    gap = model.score_samples(x) - law.logpdf(x)
    assert abs(gap.mean()) < 0.15 and gap.std() < 0.6
    assert model.score(x) == pytest.approx(model.score_samples(x).mean())
    far = law.mean + np.array([[10.0, 0.0], [0.0, 300.0]])
    assert (model.score_samples(far) < model.score_samples(law.mean[None]) - 4).all()


def test_the_density_integrates_to_one(hasty):
    _, model = hasty
    a, b = np.meshgrid(np.linspace(-20, 30, 250), np.linspace(-900, 300, 250))
    cell = (50 / 249) * (1200 / 249)
    log_p = model.score_samples(np.stack([a.ravel(), b.ravel()], 1))
    assert np.exp(log_p).sum() * cell == pytest.approx(1.0, abs=5e-3)
    assert isinstance(model.log_z_, Interval) and model.log_z_.lower.standing == "exact"


def test_units_change_log_densities_by_their_jacobian(hasty):
    rows, model = hasty
    scaled = clone(model).fit(rows * [10.0, 2.0])
    difference = scaled.score_samples(rows * [10.0, 2.0]) - model.score_samples(rows)
    assert difference == pytest.approx(np.full(200, -math.log(20.0)), abs=1e-5)


def test_a_pipeline_scores_in_the_units_of_its_last_step(hasty):
    rows, model = hasty
    line = make_pipeline(StandardScaler(), clone(model)).fit(rows)
    jacobian = np.log(line[0].scale_).sum()
    assert line.score_samples(rows) - jacobian == pytest.approx(model.score_samples(rows), abs=1e-3)


def test_samples_follow_the_law_and_their_seed(law, fitted):
    """Means of 2000 draws; five standard errors and what a short fit is off by."""
    _, model = fitted
    x = model.sample(2_000, random_state=3)
    assert np.array_equal(x, model.sample(2_000, random_state=3))
    assert not np.array_equal(x, model.sample(2_000, random_state=4))
    spread = np.sqrt(np.diag(law.cov))
    assert (np.abs(x.mean(0) - law.mean) < 0.25 * spread).all()
    assert np.corrcoef(x.T)[0, 1] == pytest.approx(0.6, abs=0.15)


def test_grid_search_chooses_the_settings_that_learn():
    """Of two separate bumps: without a rate the density stays a single one, a few tenths worse."""
    rng = np.random.default_rng(0)
    bumps = rng.choice([-1.0, 1.0], 200)[:, None] + 0.2 * rng.normal(size=(200, 1))
    idle, able = (ABLE | {"energy_optimizer": {"lr": lr}} for lr in (1e-12, 4e-3))
    estimator = DensityEstimator(rounds=40, random_state=0)
    search = GridSearchCV(estimator, {"options": [idle, able]}, cv=2).fit(bumps)
    assert search.best_params_ == {"options": able}
    scores = search.cv_results_["mean_test_score"]
    assert scores[1] > scores[0] + 0.2


def test_outliers_are_found_and_their_share_is_kept():
    """A ring with its centre empty: there, and far away, rows are strange."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 600)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.normal(size=(600, 2))
    strange = np.concatenate([0.15 * rng.normal(size=(100, 2)), rng.uniform(2, 3, (100, 2))])
    finder = OutlierDetector(
        "cd", contamination=0.05, rounds=300, options={"chains": 128}, random_state=0
    )
    labels = finder.fit_predict(ring[:400])
    assert (labels == -1).sum() == 20
    test = np.concatenate([ring[400:], strange])
    truth = np.repeat([1, 0], 200)
    assert roc_auc_score(truth, finder.score_samples(test)) > 0.93
    decided = finder.decision_function(test)
    assert decided == pytest.approx(finder.score_samples(test) - finder.offset_)
    assert np.array_equal(finder.predict(test), np.where(decided < 0, -1, 1))


def test_the_default_detector_is_that_of_the_command_line():
    """Its scores are minus the energies of ``gibbsian.models.detector``; they follow no column's unit."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 2)) @ np.array([[1.0, 0.9], [0.0, 0.3]])
    finder = OutlierDetector(rounds=50, random_state=0).fit(rows)
    energy = finder.detector_.energy(torch.from_numpy(rows)).numpy()
    assert np.array_equal(finder.score_samples(rows), -energy)
    assert (finder.predict(rows) == -1).sum() == 20
    against = rows[:, ::-1] * [1, -1]  # the same margins, nearly; the wrong sign of the correlation
    assert roc_auc_score(np.repeat([1, 0], 200), finder.score_samples([*rows, *against])) > 0.7
    units = rows * [1e3, 1e-2] + [5.0, -3.0]
    other = OutlierDetector(rounds=50, random_state=0).fit(units)
    # The whitened rows agree to float32's rounding, which training makes larger.
    assert np.corrcoef(other.score_samples(units), finder.score_samples(rows))[0, 1] > 0.99


def test_scores_of_outliers_are_log_densities_up_to_a_constant(hasty):
    rows, model = hasty
    settings = {"rounds": 8, "options": SMALL, "random_state": 0}
    gap = OutlierDetector("cd", **settings).fit(rows).score_samples(rows) - model.score_samples(
        rows
    )
    assert gap == pytest.approx(np.full(200, gap[0]), abs=1e-9)


@pytest.mark.parametrize("method", ["vae", "vgan", "bidirectional"])
def test_other_methods_score_and_sample(method, law):
    rows = law.rvs(60, random_state=0)
    model = DensityEstimator(
        method, **FEW, options={"domain_half_width": "4.0"} if method == "vgan" else None
    )
    assert model.fit(rows).score_samples(rows).shape == (60,)
    assert np.isfinite(model.score(rows)) and model.sample(5).shape == (5, 2)
    assert OutlierDetector(method, **FEW).fit(rows).predict(rows).shape == (60,)


def test_rows_of_bits_have_probabilities():
    """A directed model of 3 bits: the bound's probabilities of all states sum to at most one."""
    states = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)], dtype=float)
    rows = states[np.random.default_rng(0).choice(8, 100, p=[0.6, 0, 0, 0.1, 0, 0, 0, 0.3])]
    model = DensityEstimator("vae", rounds=30, random_state=0).fit(rows)
    assert model.log_z_ is None
    assert 0.5 < np.exp(model.score_samples(states)).sum() < 1.05
    assert set(np.unique(model.sample(20))) <= {0.0, 1.0}
    with pytest.raises(ValueError, match="other than 0 and 1"):
        model.score_samples(states + 0.5)


def test_values_on_a_grid_are_scored_without_noise():
    rows = np.random.default_rng(0).poisson(9.0, (80, 2)).astype(float)
    model = DensityEstimator(**FEW).fit(rows)
    assert np.array_equal(model.score_samples(rows), model.score_samples(rows))
    assert model.score_samples(rows[:1]) == pytest.approx(model.score_samples(rows)[:1], abs=1e-9)


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (DensityEstimator("gan"), "gan has no density .*OutlierDetector needs only its energy"),
        (DensityEstimator("lbt"), "lbt has neither an energy nor a density: it only samples"),
        (OutlierDetector("lbt"), "lbt has neither an energy nor a density"),
        (OutlierDetector("super-resolution"), "a model of images given others"),
        (DensityEstimator("cb"), "unknown method 'cb'; did you mean cd"),
        (DensityEstimator(options={"chainz": 1}), "unknown option 'chainz'; did you mean chains"),
        (DensityEstimator(rounds=0), "rounds must be at least 1"),
        (OutlierDetector(contamination=0.6), r"contamination must lie in \(0, 0.5\], not 0.6"),
    ],
)
def test_what_cannot_be_is_said_at_fit(estimator, sentence):
    with pytest.raises(ValueError, match=sentence):
        estimator.fit(np.random.default_rng(0).normal(size=(20, 2)))


def test_a_critic_is_enough_for_outliers():
    rows = np.random.default_rng(0).normal(size=(60, 2))
    assert (OutlierDetector("gan", **FEW).fit(rows).predict(rows) == -1).sum() == 6


def test_rounds_grow_with_the_rows_up_to_the_usual_number():
    estimator = DensityEstimator(random_state=0)
    rounds = [config_for(estimator, n).training.rounds for n in (20, 1_000, 10**6)]
    assert rounds == [20, 1_000, 4_000]
    assert config_for(estimator, 10**6).energy_optimizer.lr == 1e-3
    assert config_for(estimator, 1_000).energy_optimizer.lr == pytest.approx(4e-3)
    assert config_for(estimator, 20).energy_optimizer.lr == pytest.approx(1e-2)


def test_the_seed_follows_the_conventions():
    rows = np.random.default_rng(0).normal(size=(30, 2))
    options = {"rounds": 2, "options": SMALL}
    scores = [
        DensityEstimator(**options, random_state=state).fit(rows).score(rows)
        for state in (1, 1, np.random.RandomState(1), 2)
    ]
    assert scores[0] == scores[1] == scores[2] != scores[3]


def test_the_global_generators_are_left_alone():
    rows = np.random.default_rng(0).normal(size=(30, 2))
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    DensityEstimator(rounds=2, options=SMALL, random_state=0).fit(rows).sample(3, random_state=0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def flowers(kind, n=120, seed=0):
    """Two kinds of flowers, told apart by their length, as a frame of a library with a column of texts."""
    rng = np.random.default_rng(seed)
    species = np.array(["iris", "rose"])[rng.integers(2, size=n)]
    length = 5.0 + 10 * (species == "rose") + rng.normal(size=n)
    columns = {"length": length, "species": species, "width": rng.normal(size=n)}
    if kind == "polars":
        return pytest.importorskip("polars").DataFrame(columns)
    frame = pytest.importorskip("pandas").DataFrame(columns)
    return frame.astype({"species": "category"}) if kind == "pandas categories" else frame


@pytest.mark.parametrize("kind", ["pandas", "pandas categories", "polars"])
def test_frames_with_categories_have_outliers(kind):
    """A rose of an iris's length, and a text that was never seen, are outliers of the default detector."""
    frame = flowers(kind)
    finder = OutlierDetector(rounds=60, random_state=0).fit(frame)
    assert list(finder.feature_names_in_) == ["length", "species", "width"]
    assert finder.n_features_in_ == 3
    texts = {
        "length": [5.0, 5.0, 5.0],
        "species": ["iris", "rose", "tulip"],
        "width": [0.0, 0.0, 0.0],
    }
    rows = type(frame)(texts)
    scores = finder.score_samples(rows)
    assert finder.predict(rows).tolist() == [1, -1, -1]
    assert (
        scores[0] > scores[1] and scores[0] > scores[2] + 5
    )  # ln(2 n + 1) = 5.5 for a text never seen
    with pytest.raises(ValueError, match="X is no data frame; give one with the texts"):
        finder.score_samples(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="feature names"):
        finder.score_samples(rows[["species", "length", "width"]])


def test_densities_of_frames_with_categories_and_their_samples():
    frame = flowers("pandas")
    options = {"energy": {"width": 16}}
    model = DensityEstimator("nce", rounds=40, options=options, random_state=0).fit(frame)
    log_p = model.score_samples(frame)
    assert log_p.shape == (120,) and np.isfinite(log_p).all()
    assert [column.values for column in model.table_.kept] == [(), ("iris", "rose"), ()]
    assert model.model_.energy(frame).shape == (120, 1)
    draws = model.sample(20, random_state=1)
    assert isinstance(draws, np.ndarray) and set(draws[:, 1]) <= {0.0, 1.0}
    told = clone(model.set_output(transform="pandas")).fit(frame).sample(20, random_state=1)
    assert list(told.columns) == ["length", "species", "width"]
    assert set(told["species"]) <= {"iris", "rose"}
    assert np.array_equal(told["length"].to_numpy(), draws[:, 0])
    as_polars = model.set_output(transform="polars").set_output().sample(5)
    assert as_polars.columns == ["length", "species", "width"] and as_polars.height == 5
    with pytest.raises(ValueError, match="default, pandas or polars, not 'arrow'"):
        model.set_output(transform="arrow")
    with pytest.raises(ValueError, match="holds 'tulip' at row 1, column 2"):
        model.score_samples(frame.head(3).assign(species="tulip"))
    with pytest.raises(ValueError, match="categories"):
        DensityEstimator("vae", rounds=2).fit(frame)


def test_samples_of_plain_frames_follow_the_global_setting(law):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(law.rvs(40, random_state=0), columns=["a", "b"])
    model = DensityEstimator(**FEW).fit(frame)
    with sklearn.config_context(transform_output="pandas"):
        assert list(model.sample(3).columns) == ["a", "b"]
    assert isinstance(model.sample(3), np.ndarray)
    assert model.table_ is None and list(model.feature_names_in_) == ["a", "b"]

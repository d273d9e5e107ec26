"""How often a round of training, and a step of a sampler, makes the host wait for the device."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from gibbsian.core.measures import Gaussian
from gibbsian.models.train import train_config
from gibbsian.samplers import (
    RBM,
    MarkovKernel,
    adapt_step_size,
    block_gibbs,
    discrete_mala,
    gibbs_with_gradients,
    hmc,
    independence_metropolis,
    mala,
    parallel_tempering,
    random_walk_metropolis,
    run_chains,
    ula,
    underdamped,
)
from gibbsian.training import loop
from tests.device.counts import Waits, waits
from tests.device.pretend import TYPE
from tests.device.small import NAMES, data_of, small

LOOKS = {
    "cd": 1,  # at the energies where the chains start: a fault of theirs names the round
    "cd, cd-k": 1,
    "cd, short runs": 1,
    "cd, mala": 1,
    "energy-matching": 1,  # at the costs of the pairs: their coupling is found on the CPU
    "energy-matching, contrast": 2,  # and at the energies where the negatives' chains start
    "bidirectional, singular": 2,  # eigenvalues, whose routine looks whether it has converged
}
"""How often the host waits in a round, where it is not never."""

VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "cd, cd-k": (
        "cd",
        {"chain_init": "data", "sampler": {"metropolis_step_std": 0.0, "kernel": "ula"}},
    ),
    "cd, short runs": ("cd", {"chain_init": "noise", "energy_l2": 0.1}),
    "cd, mala": ("cd", {"sampler": {"kernel": "mala"}, "reinit_prob": 0.2}),
    "bidirectional, log-det": (
        "bidirectional",
        {
            "entropy_estimator": "log-det",
            "upper_bound_penalty": "gradient-penalty",
            "latent_dim": 2,
        },
    ),
    "bidirectional, singular": (
        "bidirectional",
        {"entropy_estimator": "singular", "upper_bound_penalty": "zero-centred", "latent_dim": 2},
    ),
    "bidirectional, infonce": (
        "bidirectional",
        {"entropy_estimator": "infonce", "upper_bound_penalty": "denoising"},
    ),
    "ebgan, denoising": ("ebgan", {"denoising_noise_std": 0.1, "margin_decay_rounds": 5}),
    "energy-matching, contrast": ("energy-matching", {"warmup_rounds": 0}),
    "gan, wasserstein": ("gan", {"loss": "wasserstein", "critic_steps": 2}),
    "gan, unrolled": ("gan", {"unrolled_critic_steps": 2}),
    "gan, packed": ("gan", {"packing": 2}),
    "gebm, energy alone": (
        "gebm",
        {"train_base": False, "unit_gradient_penalty_weight": 0.1, "parameter_l2": 0.1},
    ),
    "gebm, donsker-varadhan": ("gebm", {"energy_objective": "donsker-varadhan"}),
    "lbt, implicit": ("lbt", {"hypergradient": "implicit"}),
    "lbt, segments": ("lbt", {"unroll_gradient_checkpoint_every": 1}),
    "noise-levels, scores alone": ("noise-levels", {"level_classification_weight": 0.0}),
    "score-matching, sliced": ("score-matching", {"score_objective": "sliced"}),
    "super-resolution, fine-tuned": ("super-resolution", {"statistics_fine_tuning_start_round": 1}),
    "vae, several samples": ("vae", {"latent_samples": 3}),
}


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[Waits]:
    """What each round of the next run waits for: its data, its moves and its averages."""
    found: list[Waits] = []
    play = loop._round

    def watched(progress, options):
        with waits() as waited:
            logs = play(progress, options)
        found.append(waited)
        return logs

    monkeypatch.setattr(loop, "_round", watched)
    return found


@pytest.mark.parametrize("name", [*NAMES, *VARIANTS])
def test_a_round_waits_as_often_as_its_table_says(name, rounds):
    method, options = VARIANTS.get(name, (name, {}))
    train_config(small(method, 3, **options), None, data_of(method))
    assert len(rounds) == 3
    for later in rounds[1:]:  # the first may look at the data: whether they have classes, say
        assert later.total == LOOKS.get(name, 0), f"{name}: {later}"


def test_options_of_training_wait_for_nothing(rounds):
    config = small(
        "gan", 12, critic_optimizer={"clip_grad_norm": 1.0, "lr_schedule": "cosine", "warmup": 2}
    )
    config = loop_options(config, ema=0.9, float_precision="bfloat16")
    train_config(config, None, data_of("gan"))  # 10 batches an epoch: a new order is drawn
    assert [later.total for later in rounds[1:]] == [0] * 11, str(rounds[-1])


def loop_options(config, **options):
    from gibbsian.config.config import replace

    return replace(config, training=options)


def half_square(x: Tensor) -> Tensor:
    return 0.5 * x.square().sum(1)


def machine() -> RBM:
    rng = Generator(TYPE).manual_seed(2)
    weight = torch.randn(4, 3, generator=rng, device=rng.device)
    return RBM(weight, weight[:, 0], weight[0])


def bits(n: int, d: int) -> Tensor:
    rng = Generator(TYPE).manual_seed(3)
    return torch.randint(2, (n, d), generator=rng, device=rng.device).float()


def reals(n: int, d: int) -> Tensor:
    rng = Generator(TYPE).manual_seed(3)
    return torch.randn(n, d, generator=rng, device=rng.device)


CONTINUOUS = {
    "ula": lambda: ula(half_square, 0.1),
    "ula, box": lambda: ula(half_square, 0.1, box=(-1.0, 1.0)),
    "mala": lambda: mala(half_square, 0.1, scale=torch.ones(2, device=TYPE)),
    "hmc": lambda: hmc(half_square, 0.1, 3, jitter=0.2),
    "underdamped": lambda: underdamped(half_square, 0.1, friction=1.0),
    "random walk": lambda: random_walk_metropolis(half_square, 0.5),
    "independence": lambda: independence_metropolis(half_square, Gaussian((2,))),
    "parallel tempering": lambda: parallel_tempering(mala(half_square, 0.1), [1.0, 0.5, 0.1]),
}
BINARY = {
    "block Gibbs": lambda: block_gibbs(machine()),
    "Gibbs with gradients": lambda: gibbs_with_gradients(machine()),
    "discrete MALA": lambda: discrete_mala(machine(), 0.5),
}


@pytest.mark.parametrize("name", [*CONTINUOUS, *BINARY])
def test_a_samplers_steps_wait_for_nothing(name):
    kernel: MarkovKernel = (CONTINUOUS | BINARY)[name]()
    x0 = bits(6, 7) if name in BINARY else reals(6, 2)
    rng = Generator(TYPE).manual_seed(4)
    state = kernel.init(x0)
    with waits() as found:
        chains = run_chains(kernel, state, 4, rng, thin=2, record=True)
    assert found.total == 0, str(found)
    assert chains.draws.device.type == chains.acceptance.device.type == TYPE
    assert chains.summary() is not None


def test_a_sampler_starts_with_one_look():
    kernel, x0 = mala(half_square, 0.1), reals(6, 2)
    with waits() as found:
        kernel.init(x0)
    assert found.total == 1, str(found)
    x0[3, 1] = torch.nan
    with pytest.raises(ValueError, match=r"x0 holds NaN or infinity \(first at row 3"):
        kernel.init(x0)


def test_warming_up_waits_for_nothing():
    kernel, rng = mala(half_square, 0.1), Generator(TYPE).manual_seed(4)
    state = kernel.init(reals(6, 2))
    with waits() as found:
        state = adapt_step_size(kernel, state, 20, rng)
    assert found.total == 0, str(found)
    assert state.step_size.device.type == state.scale.device.type == TYPE

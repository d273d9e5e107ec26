"""Every loss traces into one graph: no branch on data, no host synchronisation, no Generator."""

from __future__ import annotations

import pytest
import torch

from gibbsian.core import DataSpace, TrainingMethod
from gibbsian.core.measures import Box, Gaussian, RealSpace, Undefined
from gibbsian.methods import (
    GAN,
    VGAN,
    BidirectionalBounds,
    ContrastiveDivergence,
    LearningByTeaching,
    NoiseContrastiveEstimation,
    ScoreMatching,
)
from tests.methods.play import Stream, gradients
from tests.nets import build_energy, build_generator, build_student

OPTIONS = dict(width=8, depth=1, num_experts=4, batch_norm=True)
PLANE, BOXED = DataSpace((2,), "vector"), DataSpace((2,), "vector", (-4.0, 4.0))


def games() -> dict[str, TrainingMethod]:
    prior, nowhere = Gaussian((3,)), Undefined((2,), "a critic")
    return {
        "vgan": VGAN(
            build_energy("bounded", BOXED, OPTIONS),
            build_generator("mlp", BOXED, 3, OPTIONS),
            prior,
            Box((2,), -4.0, 4.0),
        ),
        "wasserstein": GAN(
            build_energy("mlp", PLANE, OPTIONS),
            build_generator("mlp", PLANE, 3, OPTIONS),
            prior,
            nowhere,
            loss="wasserstein",
            r1_penalty_weight=1.0,
        ),
        "unrolled": GAN(
            build_energy("mlp", PLANE, OPTIONS),
            build_generator("mlp", PLANE, 3, OPTIONS),
            prior,
            nowhere,
            unrolled_critic_steps=2,
        ),
        "lbt": LearningByTeaching(
            build_generator("mlp", PLANE, 3, OPTIONS),
            build_student("vae", PLANE, OPTIONS),
            build_energy("mlp", PLANE, OPTIONS),
            prior,
            nowhere,
            unrolled_student_steps=2,
            student_steps_per_unroll_step=1,
        ),
        "bidirectional": BidirectionalBounds(
            build_energy("confined", PLANE, OPTIONS),
            build_generator("mlp", PLANE, 2, OPTIONS | {"batch_norm": False}),
            torch.nn.Identity(),
            Gaussian((2,)),
            RealSpace((2,)),
            output_noise_std=0.0,
            jacobian_diagnostics_every=0,
        ),
        "cd": ContrastiveDivergence(
            build_energy("confined", PLANE, OPTIONS), RealSpace((2,)), chains=8, energy_l2=0.1
        ),
        "denoising": ScoreMatching(build_energy("confined", PLANE, OPTIONS), RealSpace((2,))),
        "sliced": ScoreMatching(
            build_energy("confined", PLANE, OPTIONS), RealSpace((2,)), score_objective="sliced"
        ),
        "nce": NoiseContrastiveEstimation(
            build_energy("bounded", BOXED, OPTIONS), Box((2,), -4.0, 4.0), noise_ratio=2
        ),
    }


@pytest.mark.parametrize(
    "name",
    ["vgan", "wasserstein", "unrolled", "lbt", "bidirectional", "cd", "denoising", "sliced", "nce"],
)
def test_losses_trace_into_one_graph(name: str) -> None:
    method = games()[name]
    for move in method.round(0, Stream(8), torch.Generator().manual_seed(0)):
        plain = gradients(method, move)
        traced = torch.compile(move.loss, fullgraph=True, backend="eager")
        compiled = gradients(method, move._replace(loss=traced))
        for parameter, gradient in plain.items():
            assert torch.allclose(gradient, compiled[parameter], atol=1e-6), parameter

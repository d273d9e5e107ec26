"""Ray Tune searches over the learning rate of an EBGAN: python examples/ray_tune.py [--quick]"""

import importlib.util
import sys

import gibbsian
from gibbsian.data import load_dataset
from gibbsian.experiments.sweep import SWEEP_OBJECTIVES
from gibbsian.experiments.sweep.objectives import Setting


def trial(settings):
    """Train with one point of the space; what Ray Tune is told of it."""
    model = gibbsian.train(
        "ebgan",
        "ring8",
        energy_optimizer={"lr": settings["lr"]},
        margin=settings["margin"],
        training={"rounds": settings["rounds"], "device": "cpu"},
    )
    setting = Setting(samples=1_000, seed=0)  # figures are taken on validation rows
    return SWEEP_OBJECTIVES["high-quality"].measure(model, load_dataset("ring8"), setting)


def search(quick):
    """The best point of a random search."""
    from ray import tune

    space = {
        "lr": tune.loguniform(1e-5, 1e-2),
        "margin": tune.choice([0.5, 1.0, 2.0]),
        "rounds": 5 if quick else 500,
    }
    goal = tune.TuneConfig(metric="high-quality", mode="max", num_samples=2 if quick else 20)
    tuner = tune.Tuner(tune.with_resources(trial, {"cpu": 1}), param_space=space, tune_config=goal)
    return tuner.fit().get_best_result()


if __name__ == "__main__":
    if importlib.util.find_spec("ray") is None:
        print("this example needs Ray Tune: pip install 'ray[tune]'")
    else:
        best = search("--quick" in sys.argv)
        print(best.config, best.metrics["high-quality"])

"""Super-resolution by statistics: what is gained in texture over the point estimate, and what it costs.

Fixed before running. Brightness of photographs, factors 3 and 4. Trained on 48x48 patches of the
photographs under $GIBBSIAN_DATA and of seven of scikit-image, but eight held-out ones: astronaut,
chelsea and coffee of scikit-image, barbara, kodim23, monarch, sail and tulips; of each of these the
middle 240x240 pixels are reduced by antialiased bicubic interpolation and enlarged again. *Bicubic* and
*TV* learn nothing; the weight of TV, among 0.0003, 0.001, 0.003 and 0.01, is the one of best PSNR on the
middles of validation pictures. *Point* is the sub-pixel network, 2 000 rounds of 16 patches;
*scattering* (order 1) and *SqueezeNet* (its 2nd stage) descend their energies from it, one sample, for
10, 30 or 90 steps: whichever has the least texture distance on the validation pictures. *Fine-tuned*
goes on from the scattering model for 300 rounds, once with the negatives of a descent and once with
those of Langevin. Two seeds at factor 3, averaged picture by picture, one at factor 4. PSNR and SSIM
without a rim of as many pixels as the factor; *perceptual* is the distance of MobileNet's features, a
network no model has seen; *texture* is the Wasserstein-1 distance of the laws of neighbouring pixels'
differences, in grey levels. Intervals are 95 % by bootstrap over the eight pictures. The point estimate
must beat bicubic by 0.3 dB at factor 3, and a statistics model must be nearer to the truth than it in
texture or perceptual distance by more than two standard errors of the paired difference. Tried before,
seed 0, factor 3: the steps of scattering are best few (at 50, texture is better on seven pictures and
much worse on one), the first stage of SqueezeNet gains less than the second. Our choices throughout, not
a reproduction of Bruna et al. (2016).
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from gibbsian.config.config import replace
from gibbsian.config.recipes import default_config
from gibbsian.core.files import read_json, write_atomic
from gibbsian.core.imaging import downscale, upscale, variational_inverse
from gibbsian.data.patches import HELD_OUT, folder_of, photographs, split
from gibbsian.evaluation import perceptual_distance, psnr, ssim, texture_distance
from gibbsian.evaluation.metrics.image_quality import bootstrap
from gibbsian.methods import SuperResolution
from gibbsian.models.train import train_config
from gibbsian.networks import MobileNet
from studies.harness import RESULTS, Result, Study, run_study

SEEDS = {3: range(2), 4: range(1)}
FACTORS = tuple(SEEDS)
SIDE, CROP = 240, 72
WEIGHTS = (0.0003, 0.001, 0.003, 0.01)
STEPS = (10, 30, 90)
ROUNDS, TUNING, TV_STEPS = 2_000, 300, 300
FROM_LIBRARY = ("astronaut", "chelsea", "coffee")
TRAINED_ON = ("brick", "camera", "coins", "grass", "gravel", "motorcycle_left", "rocket")
SHOWN = ("barbara", "kodim23", "monarch", "chelsea")
MEASURES = {"psnr": "PSNR, dB", "ssim": "SSIM", "perceptual": "perceptual", "texture": "texture"}
MODELS: Mapping[str, Mapping[str, Any]] = {
    "scattering": {"sufficient_statistics": "scattering"},
    "SqueezeNet": {"sufficient_statistics": "squeezenet"},
    "fine-tuned, descent": {"sufficient_statistics": "scattering", "negative_sampler": "descent"},
    "fine-tuned, Langevin": {
        "sufficient_statistics": "scattering",
        "negative_sampler": "langevin",
        "upscaling_step_size": 1e-6,
    },
}
ROWS = ("bicubic", "TV", "point", *MODELS)


def middle(picture: np.ndarray, side: int = SIDE) -> Tensor:
    """The middle of a picture, ``[1, side, side]`` in [-1, 1]."""
    _, height, width = picture.shape
    row, column = (height - side) // 2, (width - side) // 2
    cut = picture[:, row : row + side, column : column + side]
    return torch.from_numpy(cut.copy()).float() / 127.5 - 1


def library() -> dict[str, Path]:
    """Name -> file of scikit-image's pictures."""
    import skimage

    return {
        path.stem: path for path in sorted((Path(skimage.__file__).parent / "data").glob("*.*"))
    }


def training_folder() -> Path:
    """The photographs of both sources side by side, held-out ones too, which no one trains on."""
    folder = Path("runs") / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    theirs = [library()[name] for name in TRAINED_ON]
    for path in (*theirs, *sorted(folder_of("photos").glob("*.png"))):
        if not (folder / path.name).exists():
            write_atomic(folder / path.name, path.read_bytes())
    return folder


def held_out() -> dict[str, Tensor]:
    """Name -> the middle of each held-out picture's brightness, in order of name."""
    found = photographs(folder_of("photos"), greyscale=True)
    for name in FROM_LIBRARY:
        found |= photographs(library()[name], greyscale=True)
    return {name: middle(found[name]) for name in sorted(HELD_OUT)}


def validation() -> Tensor:
    """The middles of the pictures of which the data set makes its validation patches."""
    found = photographs(training_folder(), greyscale=True)
    return torch.stack([middle(found[name]) for name in split(list(found))["valid"]])


def measured(y: Tensor, y_model: Tensor, factor: int) -> dict[str, list[float]]:
    """Every measure of every picture ``[N, 1, H, W]``."""
    y_model = y_model.clamp(-1, 1)
    inner = (..., slice(factor, -factor), slice(factor, -factor))
    found = {
        "psnr": psnr(y[inner], y_model[inner]),
        "ssim": ssim(y[inner], y_model[inner]),
        "perceptual": perceptual_distance(MobileNet(), y, y_model),
        "texture": texture_distance(y, y_model),
    }
    return {name: values.tolist() for name, values in found.items()}


def encoded(names: list[str], y: Tensor) -> str:
    """The middles of the pictures to be shown, side by side, as text."""
    crops = []
    for name in SHOWN:
        levels = ((y[names.index(name)].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        start = (levels.shape[-1] - CROP) // 2
        crops.append(levels[0, start : start + CROP, start : start + CROP])
    return base64.b64encode(torch.cat(crops, 1).numpy().tobytes()).decode()


def row(names: list[str], y: Tensor, y_model: Tensor, factor: int) -> Result:
    """What is kept of one way to enlarge."""
    return measured(y, y_model, factor) | {"crops": encoded(names, y_model)}


def baselines(factor: int, quick: bool) -> Result:
    """Bicubic interpolation and the variational inverse at the weight that suits training pictures."""
    held = held_out()
    names, y = list(held), torch.stack(list(held.values()))
    valid = validation()
    steps = 10 if quick else TV_STEPS
    scores = {
        weight: float(
            psnr(valid, variational_inverse(downscale(valid, factor), factor, weight, steps)).mean()
        )
        for weight in WEIGHTS
    }
    weight = max(scores, key=lambda w: scores[w])
    x = downscale(y, factor)
    return {
        "bicubic": row(names, y, upscale(x, factor), factor),
        "TV": row(names, y, variational_inverse(x, factor, weight, steps), factor),
        "truth": {"crops": encoded(names, y)},
        "weight": weight,
    }


def sampled(method: SuperResolution, x: Tensor, steps: int, seed: int) -> Tensor:
    """One inference per small picture, two at a time."""
    method.adjust(upscaling_steps=steps)
    rng = Generator().manual_seed(seed)
    return torch.cat([method.complete(part, rng) for part in x.split(2)])


def trained(factor: int, model: str, seed: int, quick: bool) -> Result:
    """One model: its samples of the held-out pictures, and its point estimates."""
    rounds, tuning = (4, 2) if quick else (ROUNDS, TUNING)
    tuned = model.startswith("fine-tuned")
    config = replace(
        default_config("super-resolution", str(training_folder())),
        source={"patch_size": 48, "greyscale": True, "max_rows": 64 if quick else 4_000},
        training={"rounds": rounds + tuning * tuned, "seed": seed, "device": "cpu"},
        upscaling_factor=factor,
        statistics_fine_tuning_start_round=rounds if tuned else 0,
        **MODELS[model],
    )
    method = train_config(config, None).method
    assert isinstance(method, SuperResolution)
    held = held_out()
    names, y = list(held), torch.stack(list(held.values()))
    x = downscale(y, factor)
    valid = validation()
    small = downscale(valid, factor)
    tried = {
        steps: float(texture_distance(valid, sampled(method, small, steps, seed)).mean())
        for steps in ((2, 4) if quick else STEPS)
    }
    steps = min(tried, key=lambda n: tried[n])
    y_model = sampled(method, x, steps, seed)
    method.adjust("point")
    return {
        model: row(names, y, y_model, factor),
        "steps": steps,
        "point": row(names, y, method.complete(x, Generator()), factor),
    }


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """Every run of the study."""
    runs: dict[str, Callable[[], Result]] = {}
    for factor in FACTORS:
        runs[f"x{factor} / baselines"] = partial(baselines, factor, quick)
        for seed in SEEDS[factor]:
            for model in MODELS:
                runs[f"x{factor} / {model} / {seed}"] = partial(trained, factor, model, seed, quick)
    return runs


def of_pictures(results: Mapping[str, Result], factor: int) -> dict[str, dict[str, Tensor]]:
    """Row -> measure -> one number per picture, averaged over seeds; the point estimate is scattering's."""
    found: dict[str, dict[str, Tensor]] = {}
    for name in ROWS:
        source = {"bicubic": "baselines", "TV": "baselines", "point": "scattering"}.get(name, name)
        runs = [
            result[name]
            for cell, result in results.items()
            if cell.startswith(f"x{factor} / {source}") and cell.split(" / ")[1] == source
        ]
        if runs:
            found[name] = {m: torch.tensor([run[m] for run in runs]).mean(0) for m in MEASURES}
    return found


def render(results: Mapping[str, Result]) -> str:
    """A table per factor with intervals, and the differences from the point estimate."""
    lines: list[str] = []
    for factor in FACTORS:
        rows = of_pictures(results, factor)
        if not rows:
            continue
        lines += [f"## Factor {factor}", "", f"| | {' | '.join(MEASURES.values())} |"]
        lines.append("|---" * (len(MEASURES) + 1) + "|")
        for name, values in rows.items():
            shown = (bootstrap(values[m], Generator().manual_seed(0)) for m in MEASURES)
            numbers = (f"{b.mean:.3g} [{b.low:.3g}, {b.high:.3g}]" for b in shown)
            lines.append(f"| {name} | {' | '.join(numbers)} |")
        if "point" in rows:
            lines += ["", "Paired differences from the point estimate, mean ± standard error:", ""]
            lines += [f"| | {' | '.join(MEASURES.values())} |", "|---" * (len(MEASURES) + 1) + "|"]
            for name, values in rows.items():
                pairs = (
                    bootstrap(values[m] - rows["point"][m], Generator().manual_seed(0))
                    for m in MEASURES
                )
                if name != "point":
                    numbers = (f"{b.mean:+.3f} ± {b.stderr:.3f}" for b in pairs)
                    lines.append(f"| {name} | {' | '.join(numbers)} |")
        lines += [
            "",
            f"![Crops of four pictures, a row per way](super-resolution-x{factor}.png)",
            "",
        ]
        lines += [f"From top to bottom: {', '.join(rows)}, truth.", ""]
    return "\n".join(lines)


def draw(results: Mapping[str, Result], factor: int, path: Path) -> None:
    """The crops of every row above one another, three times enlarged without smoothing."""
    import io

    from PIL import Image

    parts: dict[str, str] = {}
    for cell, result in results.items():
        if cell.startswith(f"x{factor} "):
            parts |= {
                n: v["crops"] for n, v in result.items() if isinstance(v, dict) and n not in parts
            }
    strips = [
        np.frombuffer(base64.b64decode(parts[name]), np.uint8).reshape(CROP, -1)
        for name in (*ROWS, "truth")
        if name in parts
    ]
    if strips:
        sheet = Image.fromarray(np.concatenate(strips))
        buffer = io.BytesIO()
        sheet.resize((3 * sheet.width, 3 * sheet.height), Image.Resampling.NEAREST).save(
            buffer, "png"
        )
        write_atomic(path, buffer.getvalue())


STUDY = Study("super-resolution", __doc__ or "", cells, render)

if __name__ == "__main__":
    status = run_study(STUDY)
    written = RESULTS / "super-resolution.json"
    if written.exists() and "--quick" not in sys.argv:
        for size in FACTORS:
            draw(read_json(written)["results"], size, RESULTS / f"super-resolution-x{size}.png")
    sys.exit(status)

"""``gibbsian upscale``: photographs enlarged by a trained model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from gibbsian.cli.console import parse, say
from gibbsian.core.progress import shown
from gibbsian.data.photo import opacity, read_picture, write_picture
from gibbsian.methods.super_resolution import Inference, SuperResolution
from gibbsian.models.model import load_model
from gibbsian.models.train import device_of
from gibbsian.models.upscaling import TILE, enlarge
from gibbsian.report.page_files import check_output


@dataclasses.dataclass(frozen=True)
class Upscale:
    """Enlarge a photograph by a trained super-resolution model.

    Args:
        run: folder of the run.
        photo: an image of any size, .png or .jpg; grey, colour or with transparency.
        output: where to, .png or .jpg; with several samples their numbers are put before the ending.
        num_samples: how many, each an image that may have been; at least 1.
        seed: of the samples.
        super_resolution_inference: in place of the one the model was trained with: point is the fastest.
        upscaling_steps: of the inference, in place of the model's.
        tile_size: side of the pieces that are enlarged at a time, in pixels of the photograph.
        device: where to compute.
        trust_code: import code that the run names as package.module:Class; it runs with all your rights.
    """

    run: Annotated[Positional[Path], tyro.conf.arg(metavar="RUN")]
    photo: Annotated[Positional[Path], tyro.conf.arg(metavar="PHOTO")]
    output: Path
    num_samples: int = 1
    seed: int = 0
    super_resolution_inference: Inference | None = None
    upscaling_steps: int | None = None
    tile_size: int = TILE
    device: str = "auto"
    trust_code: bool = False


def upscale(arguments: list[str]) -> int:
    """Enlarge a photograph: `upscale RUN photo.png --output big.png`."""
    args = parse(Upscale, arguments, "upscale")
    check_output(args.output, (".png", ".jpg", ".jpeg"))
    for option, count in (
        ("num-samples", args.num_samples),
        ("inference-steps", args.upscaling_steps),
    ):
        if count is not None and count < 1:
            raise ValueError(f"--{option} must be at least 1, not {count}")
    model = load_model(args.run, device=device_of(args.device), trust_code=args.trust_code)
    picture = read_picture(args.photo)
    if args.output.suffix != ".png" and (picture.alpha is not None or picture.levels > 256):
        kind = "transparency" if picture.alpha is not None else "16 bits"
        raise ValueError(f"{args.photo} has {kind}, which .jpg cannot hold; use --output FILE.png")
    if isinstance(model.method, SuperResolution):
        model.method.adjust(args.super_resolution_inference, args.upscaling_steps)
    rng = model.rng(args.seed)
    for number in range(1, args.num_samples + 1):
        with shown():
            large = enlarge(model, picture, rng, args.tile_size, progress=True)
        path = args.output
        if args.num_samples > 1:
            path = path.with_name(f"{path.stem}-{number}{path.suffix}")
        write_picture(path, large, opacity(picture, large.shape[1:]))
        say(f"{large.shape[2]}x{large.shape[1]} pixels in {path}")
    return 0

"""Settings that are known to work: the defaults of each method, and named runs.

Each is a typed function that returns a configuration; print it with ``--print-config``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from gibbsian.config.config import Config
from gibbsian.config.recipes.bidirectional_bounds import (
    image_bounds,
    plane_bounds,
    published_bounds,
)
from gibbsian.config.recipes.contrastive import digits_cd, moons_cd
from gibbsian.config.recipes.defaults import Scale, default_config
from gibbsian.config.recipes.directed_models import (
    binary_bihm,
    binary_vae,
    image_vae,
    published_vae,
)
from gibbsian.config.recipes.generalized import gebm_images, line_gebm, red_wine_gebm
from gibbsian.config.recipes.margins import digits_ebgan, ladder_ebgan, picture_ebgan
from gibbsian.config.recipes.photographs import enlarged_photographs
from gibbsian.config.recipes.teaching import image_gan, image_lbt, plane_lbt
from gibbsian.core import nearest

__all__ = ["RECIPES", "default_config", "recipe"]

RECIPES: Mapping[str, Callable[[Scale], Config]] = {
    "moons-cd": moons_cd,
    "digits-cd": digits_cd,
    "moons-bidirectional": partial(plane_bounds, "moons"),
    "swiss-roll-bidirectional": partial(plane_bounds, "swiss-roll"),
    "grid25-bidirectional": partial(plane_bounds, "grid25"),
    "moons-bidirectional-published": partial(published_bounds, "moons"),
    "swiss-roll-bidirectional-published": partial(published_bounds, "swiss-roll"),
    "grid25-bidirectional-published": partial(published_bounds, "grid25-sharp"),
    "mnist-bidirectional": partial(image_bounds, "mnist"),
    "fashion-mnist-bidirectional": partial(image_bounds, "fashion-mnist"),
    "cifar10-jpeg75-bidirectional": partial(image_bounds, "cifar10-jpeg75"),
    "ring8-lbt": partial(plane_lbt, "ring8"),
    "grid25-lbt": partial(plane_lbt, "grid25"),
    "grid100-lbt": partial(plane_lbt, "grid100"),
    "stacked-mnist-lbt": partial(image_lbt, "stacked-mnist"),
    "stacked-mnist-gan": partial(image_gan, "stacked-mnist"),
    "mnist-lbt": partial(image_lbt, "mnist"),
    "fashion-mnist-lbt": partial(image_lbt, "fashion-mnist"),
    "mnist-ebgan": partial(digits_ebgan, "mnist"),
    "fashion-mnist-ebgan": partial(digits_ebgan, "fashion-mnist"),
    "mnist-ladder-100": partial(ladder_ebgan, 100),
    "mnist-ladder-1000": partial(ladder_ebgan, 1_000),
    "pictures-64-ebgan": partial(picture_ebgan, 64),
    "pictures-128-ebgan": partial(picture_ebgan, 128),
    "pictures-256-ebgan": partial(picture_ebgan, 256),
    "line-gebm": line_gebm,
    "red-wine-gebm": red_wine_gebm,
    "mnist-gebm": partial(gebm_images, "mnist"),
    "fashion-mnist-gebm": partial(gebm_images, "fashion-mnist"),
    "cifar10-jpeg75-gebm": partial(gebm_images, "cifar10-jpeg75"),
    "digits-vae": partial(image_vae, "digits"),
    "mnist-14-vae": partial(image_vae, "mnist-14"),
    "mnist-vae": partial(image_vae, "mnist"),
    "digits-binary-vae": partial(binary_vae, "digits-binary"),
    "mnist-14-binary-vae": partial(binary_vae, "mnist-14-binary"),
    "binarized-mnist-vae": partial(binary_vae, "binarized-mnist"),
    "binarized-mnist-vae-published": partial(published_vae, "binarized-mnist"),
    "frey-faces-vae-published": partial(published_vae, "frey-faces"),
    "digits-binary-bihm": partial(binary_bihm, "digits-binary", "100,50,20,10"),
    "binarized-mnist-bihm": partial(binary_bihm, "binarized-mnist", "200,100,50,20"),
    "ocr-letters-bihm": partial(binary_bihm, "ocr-letters", "200,100,50,20,10"),
    "dna-bihm": partial(binary_bihm, "dna", "100,50,20,10"),
    "photos-x2": partial(enlarged_photographs, 2),
    "photos-x3": partial(enlarged_photographs, 3),
    "photos-x4": partial(enlarged_photographs, 4),
}


def recipe(name: str, scale: Scale = "cpu") -> Config:
    """The named run; ValueError naming the nearest names if there is none."""
    if name not in RECIPES:
        raise nearest("recipe", name, RECIPES)
    return RECIPES[name](scale)

"""Feature extractors: what they compute, what their digests notice, how they refuse."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn.functional import interpolate

from gibbsian.core import DataSpace
from gibbsian.core.paths import roots
from gibbsian.data.transforms import binary, pixels, unscaled
from gibbsian.evaluation import frechet_distance, inception_type_score
from gibbsian.evaluation.features.classifier import Classifier, load_classifier, save_classifier
from gibbsian.evaluation.features.extractors import build_extractor, class_predictions, digest
from gibbsian.evaluation.features.feature_protocols import on_features
from gibbsian.networks import MobileNet, SqueezeNet
from gibbsian.networks.pretrained import MOBILENET, SQUEEZENET

GREY = pixels((1, 8, 8), 17)


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def levels(rng: torch.Generator, n: int, top: int = 16) -> torch.Tensor:
    return torch.randint(top + 1, (n, 1, 8, 8), generator=rng).float()


def classifier_file(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    options = dict(width=16, channels=4)
    classifier = Classifier(DataSpace((1, 8, 8), "image", (-1.0, 1.0)), GREY, 10, options)
    path = folder / f"classifier{seed}.safetensors"
    save_classifier(classifier, path)
    return path


def test_pixels(rng: torch.Generator) -> None:
    x = levels(rng, 5)
    found = build_extractor("pixels", GREY)
    assert torch.equal(found(x), x.flatten(1)) and found.width == 64
    assert found.digest == build_extractor("pixels", unscaled((3,))).digest


def test_the_projects_classifier(rng: torch.Generator, tmp_path: Path) -> None:
    path, x = classifier_file(tmp_path), levels(rng, 300)
    found, classifier = build_extractor(str(path), GREY), load_classifier(path)
    torch.testing.assert_close(found(x), classifier.features(x))
    assert found.width == 16
    log_p = class_predictions(path, GREY)(x)
    torch.testing.assert_close(log_p, classifier.logits(x).log_softmax(1))
    assert 1 <= inception_type_score(log_p, rng).value <= 10
    again = build_extractor(str(path), GREY).digest
    other = build_extractor(str(classifier_file(tmp_path, 1)), GREY).digest
    assert len({found.digest, other, class_predictions(path, GREY).digest}) == 3
    assert again == found.digest
    with pytest.raises(ValueError, match=r"rows of shape \[1, 8, 8\]; these have \[3, 8, 8\]"):
        build_extractor(str(path), pixels((3, 8, 8), 17))


MODULE = """
import torch
class Halves(torch.nn.Module):
    def __init__(self, space):
        super().__init__()
        self.width = space.shape[-1]
        self.scale = torch.nn.Parameter(torch.tensor(0.5))
        self.dropout = torch.nn.Dropout(0.9)
    def forward(self, u):
        return self.dropout(self.scale * u.flatten(1)[:, :self.width])
class Flat(torch.nn.Module):
    def forward(self, u):
        return u.flatten(1).sum(1)
"""


def test_a_users_own(rng: torch.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_features.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    x = levels(rng, 5)
    found = build_extractor("my_features:Halves", GREY)
    assert found.width == 8
    torch.testing.assert_close(found(x), 0.5 * GREY.encode(x).flatten(1)[:, :8])
    assert not found(x).requires_grad
    shifted = replace(GREY, shift=(7.0,))
    assert build_extractor("my_features:Halves", shifted).digest != found.digest
    with pytest.raises(ValueError, match=r"\[B, width\]; for two it returned \[2\]"):
        build_extractor("my_features:Flat", GREY)


def test_digests_see_weights_names_shapes_and_facts() -> None:
    w = torch.arange(6.0)
    known = [
        digest({"w": w}, {"side": 1}),
        digest({"w": w + 1e-6}, {"side": 1}),
        digest({"v": w}, {"side": 1}),
        digest({"w": w.view(2, 3)}, {"side": 1}),
        digest({"w": w.view(torch.int32)}, {"side": 1}),
        digest({"w": w}, {"side": 2}),
    ]
    assert len(set(known)) == 6 and all(len(one) == 32 for one in known)
    two = {"a": w, "b": w + 1}
    assert digest(two, {}) == digest(dict(reversed(two.items())), {})


@pytest.mark.parametrize(("name", "width"), [("squeezenet", 512), ("mobilenet", 1024)])
def test_networks_of_photographs(name: str, width: int, rng: torch.Generator) -> None:
    file = SQUEEZENET if name == "squeezenet" else MOBILENET
    if not any((place / file).is_file() for place in roots()):
        pytest.skip(f"{file} is not under $GIBBSIAN_DATA")
    x = levels(rng, 2)
    found = build_extractor(name, GREY)
    large = interpolate(GREY.encode(x), (128, 128), mode="bicubic", antialias=True)
    with torch.no_grad():
        if name == "squeezenet":
            space = DataSpace((1, 128, 128), "image")
            maps = SqueezeNet(space, depth=4)(large)
        else:
            (maps,) = MobileNet((13,))(large)
    assert found.width == width
    torch.testing.assert_close(found(x), maps.mean((2, 3)))
    bits = build_extractor(name, binary((1, 8, 8)))
    black_and_white = (x > 8).float()
    same = build_extractor(name, pixels((1, 8, 8), 0))  # 0 and 1 on a scale of floats
    torch.testing.assert_close(bits(black_and_white), same(black_and_white))
    assert bits.digest != same.digest
    with pytest.raises(ValueError, match=rf"{name} sees images"):
        build_extractor(name, unscaled((3,)))


def test_numbers_of_two_extractors_refuse(rng: torch.Generator, tmp_path: Path) -> None:
    x, y = levels(rng, 60), levels(rng, 60)
    distance = partial(frechet_distance, rng=rng)
    one, two = (
        on_features(build_extractor(str(classifier_file(tmp_path, seed)), GREY), distance, x, y)
        for seed in (0, 1)
    )
    with pytest.raises(ValueError, match="cannot be compared; compute both with one extractor"):
        _ = one - two


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="did you mean squeezenet"):
        build_extractor("squeeznet", GREY)
    with pytest.raises(ValueError, match="make one with `gibbsian classifier`"):
        build_extractor("absent.safetensors", GREY)

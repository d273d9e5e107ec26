"""The classifier: it learns, is saved whole, labels stacks by place value, and is made by a command."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gibbsian import cli, data
from gibbsian.core.files import CorruptFileError
from gibbsian.core.tensor_files import write_tensors
from gibbsian.evaluation import class_coverage
from gibbsian.evaluation.features.classifier import (
    Classifier,
    load_classifier,
    save_classifier,
    train_classifier,
)


@pytest.fixture(scope="module")
def digits() -> Classifier:
    return train_classifier(data.load_dataset("digits"), epochs=4)


def test_it_learns_handwritten_digits(digits: Classifier) -> None:
    """Held-out digits; chance is 0.1, a linear classifier reaches about 0.95."""
    test = data.load_dataset("digits")
    labels = digits.labels(test.test)
    right = (labels == test.targets["test"]).double().mean().item()
    assert right == digits.accuracy > 0.9
    assert torch.equal(labels, digits.logits(test.test).argmax(1))
    assert digits.features(test.test).shape == (len(labels), 256)


def test_variations_keep_the_labels_of_their_pictures() -> None:
    """Trained on digits and the same digits upside down, it reads both; without them, not the latter.

    Upside down a classifier of upright digits is right on few but 0, 1 and 8. Variations that change
    nothing leave the classifier as it is.
    """
    rows = data.load_dataset("digits")

    def turned(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        return x.flip(2, 3)

    def same(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        return x

    def right(found: Classifier) -> float:
        labels = found.labels(rows.test.flip(2, 3))
        return float((labels == rows.targets["test"]).double().mean())

    both, plain = train_classifier(rows, 4, variation=turned), train_classifier(rows, 4)
    assert both.accuracy > 0.85 and right(both) > 0.85 and right(plain) < 0.6
    one = train_classifier(data.load_dataset("digits", max_rows=200), 1)
    copied = train_classifier(data.load_dataset("digits", max_rows=200), 1, variation=same)
    torch.testing.assert_close(copied.head.weight, one.head.weight)


def test_fresh_variations_come_from_the_seed() -> None:
    drawn: list[torch.Tensor] = []

    def noisy(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        drawn.append(torch.randn(x.shape, generator=rng))
        return x + 0.1 * drawn[-1]

    small = data.load_dataset("digits", max_rows=200)
    for _ in range(2):
        train_classifier(small, 2, batch=80, variation=noisy)
    assert len(drawn) == 8 and torch.equal(torch.stack(drawn[:4]), torch.stack(drawn[4:]))
    assert not torch.equal(drawn[0], drawn[1])


def test_a_stack_s_label_reads_its_channels_as_digits(digits: Classifier) -> None:
    x = data.load_dataset("digits").test[:30]
    ones, tens, hundreds = (digits.labels(part) for part in x.split(10))
    stacks = torch.cat(list(x.split(10)), 1)
    assert torch.equal(digits.stack_labels(stacks), ones + 10 * tens + 100 * hundreds)


def test_a_saved_classifier_is_the_classifier(digits: Classifier, tmp_path: Path) -> None:
    save_classifier(digits, tmp_path / "digits.safetensors")
    loaded = load_classifier(tmp_path / "digits.safetensors")
    x = data.load_dataset("digits").test
    assert torch.equal(loaded.logits(x), digits.logits(x)) and loaded.accuracy == digits.accuracy
    write_tensors(tmp_path / "other.safetensors", {"w": torch.zeros(2)}, {"format": "else"})
    with pytest.raises(CorruptFileError, match="holds no classifier"):
        load_classifier(tmp_path / "other.safetensors")


def test_the_same_seed_trains_the_same_classifier_and_leaves_the_global_generator_alone() -> None:
    small = data.load_dataset("digits", max_rows=200)
    torch.manual_seed(5)
    one, drawn = train_classifier(small, epochs=1, seed=3), torch.rand(2)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(2), drawn)
    for p, q in zip(
        one.parameters(), train_classifier(small, epochs=1, seed=3).parameters(), strict=True
    ):
        assert torch.equal(p, q)
    other = train_classifier(small, epochs=1, seed=4)
    assert not torch.equal(other.head.weight, one.head.weight)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "digits.safetensors"
    assert cli.main(["classifier", "digits", "--output", str(out), "--epochs", "1"]) == 0
    said = capsys.readouterr().out
    assert f"{load_classifier(out).accuracy:.2%}" in said
    for words, why in (
        (["wine", "--output", str(out)], "images with class labels"),
        (["digits", "--output", str(out), "--epochs", "0"], "at least 1"),
        (["digits", "--output", str(tmp_path / "x.pt")], "must end in .safetensors"),
    ):
        assert cli.main(["classifier", *words]) == 2
        assert why in capsys.readouterr().err


def test_class_coverage_counts_and_measures() -> None:
    labels = torch.tensor([0, 0, 0, 2])
    found = class_coverage(labels, 4)
    entropy = -(0.75 * torch.tensor(0.75).log() + 0.25 * torch.tensor(0.25).log())
    assert found.covered == 2 and found.histogram_floor == 3 / 8
    assert found.histogram_kl == pytest.approx(float(torch.tensor(4.0).log() - entropy))
    assert class_coverage(torch.arange(1000).repeat(26), 1000).histogram_kl == pytest.approx(0)
    for wrong in (torch.tensor([4]), torch.tensor([-1]), torch.zeros(0, dtype=torch.long)):
        with pytest.raises(ValueError, match="whole numbers from 0 to 3"):
            class_coverage(wrong, 4)

"""A dozen small trained models with their cards, each a folder that `gibbsian.load_model` reads.

python examples/release_models.py [NAME ...] [--quick] [--folder models]

Their data are drawn or come with scikit-learn. A card holds the scores on held-out rows and the commands; the
flows need `pip install 'gibbsian[flows]'`.
"""

import argparse
import json
import shlex
import tempfile
from pathlib import Path

import gibbsian
from gibbsian.cli import main as command
from gibbsian.models.hub import model_card

MODELS = {
    "moons-cd": "--recipe moons-cd",
    "ring8-nce": "nce --data ring8",
    "spirals-score-matching": "score-matching --data spirals",
    "pinwheel-flow": "flow --data pinwheel",
    "pinwheel-tilted-flow": "tilted-flow --data pinwheel",
    "grid25-gan": "gan --data grid25",
    "ring8-gebm": "gebm --data ring8",
    "wine-nce": "nce --data wine --batch 64",
    "breast-cancer-cd": "cd --data breast-cancer --batch 64",
    "digits-cd": "--recipe digits-cd",
    "digits-vae": "--recipe digits-vae",
    "digits-binary-rbm": "cd --data digits-binary --energy rbm",
}
"""Name of the folder -> what `gibbsian train` is told."""
QUICK = ("--rounds", "10")
SCORES = "--num-samples 2000 --log-z-effort quick"


def run(words: list[str]) -> None:
    """One command of gibbsian; SystemExit with its name where it fails."""
    if command(words):
        raise SystemExit(f"failed: gibbsian {shlex.join(words)}")


def make(name: str, folder: Path, quick: bool) -> None:
    """Train and score one model; write its configuration, weights and card into ``folder/name``."""
    words = [*shlex.split(MODELS[name]), "--device", "cpu", *(QUICK if quick else ())]
    scores = shlex.split(SCORES)
    with tempfile.TemporaryDirectory() as away:
        place = Path(away) / name
        run(["train", *words, "--out", str(place)])
        run(["evaluate", str(place), *scores, "--device", "cpu"])
        figures = json.loads((place / "evaluation.json").read_text())
        model = gibbsian.load_model(place)
    model.save_pretrained(folder / name)
    card = model_card(
        name, model.config, model.space, model.transform, "apache-2.0", figures=figures
    )
    lines = [
        f"gibbsian train {shlex.join(words)} --out runs/{name}",
        f"gibbsian evaluate runs/{name} {SCORES} --device cpu",
    ]
    card += "\n## How it was made\n\n```bash\n" + "\n".join(lines) + "\n```\n"
    (folder / name / "README.md").write_text(card, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all: {', '.join(MODELS)}")
    parser.add_argument("--quick", action="store_true", help="hardly train: does it run?")
    parser.add_argument("--folder", type=Path, default=Path("models"))
    given = parser.parse_args()
    if unknown := set(given.names) - set(MODELS):
        parser.error(f"no model {', '.join(sorted(unknown))}; there are {', '.join(MODELS)}")
    for name in given.names or MODELS:
        make(name, given.folder, given.quick)
        model = gibbsian.Model.from_pretrained(given.folder / name)
        size = sum(path.stat().st_size for path in (given.folder / name).iterdir())
        print(f"{given.folder / name}: {model.config.method}, {size} bytes", flush=True)


if __name__ == "__main__":
    main()

"""A model on the Hugging Face hub: its card in Markdown, and the upload."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from gibbsian import __version__
from gibbsian.config.config import Config, method_class, replace
from gibbsian.core import DataSpace
from gibbsian.core.names import first_few
from gibbsian.data.transforms import Transform

LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")
SETTINGS = ("rounds", "batch", "seed", "ema")
"""Fields of the training record that a card shows."""


@runtime_checkable
class Hub(Protocol):
    """What is needed of ``huggingface_hub.HfApi``."""

    def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> Any: ...

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> Any: ...


def upload(folder: Path, repo_id: str, private: bool, api: Hub | None) -> str:
    """Upload the files of ``folder`` to the repository ``repo_id``, made if need be; its address.

    ``api`` is ``huggingface_hub.HfApi()`` unless given, with the token that ``hf auth login`` keeps.
    Raises ImportError, naming the extra, where huggingface_hub is not installed.
    """
    if api is None:
        try:
            from huggingface_hub import HfApi
        except ImportError as error:
            raise ImportError(
                "the hub needs the package huggingface_hub: pip install 'gibbsian[hub]'"
            ) from error
        api = HfApi()
    address = api.create_repo(repo_id, private=private, exist_ok=True)
    message = f"Model and card, by gibbsian {__version__}"
    api.upload_folder(repo_id=repo_id, folder_path=str(folder), commit_message=message)
    return str(address)


def without_folders(config: Config) -> Config:
    """``config`` without what only its own computer knows: folders in front of the data's name."""
    return replace(config, data=Path(config.data).name, source={"data_root": None})


def model_card(
    repo_id: str,
    config: Config,
    space: DataSpace,
    transform: Transform,
    licence: str,
    figures: Mapping[str, Any] | None = None,
) -> str:
    """The model card: YAML front matter, then what it is, its data, options, figures and how to load it.

    ``licence``: an identifier of the hub such as ``apache-2.0``, or ``other``. ``figures``: the content
    of a run's ``evaluation.json``. ``repo_id`` without a slash is
    a folder at hand. Raises ValueError for a licence that is no identifier.
    """
    if not LICENCE.fullmatch(licence):
        raise ValueError(
            f"the licence is one of the hub's identifiers, such as apache-2.0, mit or other, not {licence!r}"
        )
    cls = method_class(config.method)
    about = (cls.__doc__ or "").strip().splitlines()[0]
    options = {k: v for k, v in config.options.items() if k != "latent_dim"}
    training = asdict(config.training)
    parts = [
        "---",
        f"license: {licence}",
        "library_name: gibbsian",
        "tags:",
        *(f"- {tag}" for tag in ("gibbsian", "energy-based-model", config.method)),
        "---",
        f"\n# {repo_id.rpartition('/')[2]}\n",
        about,
        f"\n## Data\n\n{_data(config, space, transform)}",
        f"\n## Method\n\n`{config.method}`, trained by Gibbsian {__version__}. All settings are in",
        "`config.json`.\n",
        *_table(("option", "value"), options | {name: training[name] for name in SETTINGS}),
        *_figures(figures),
        "\n## How to load it\n",
        *_loading(repo_id, config, cls.conditional),
    ]
    return "\n".join(parts) + "\n"


def _data(config: Config, space: DataSpace, transform: Transform) -> str:
    sizes = " x ".join(map(str, space.shape))
    kind = "rows" if space.kind == "mixed" else f"{space.kind}s"
    words = [f"`{Path(config.data).name}`: {kind} of {sizes} numbers."]
    if space.kind == "mixed":
        words.append(f"Categories, as one-hot blocks of {', '.join(map(str, space.categories))}.")
    if space.kind == "binary":
        words = [f"`{Path(config.data).name}`: {sizes} bits."]
    if transform.columns:
        words.append(f"Columns, in this order: {first_few(transform.columns)}.")
    words += [f"{note[0].upper()}{note[1:]}." for note in transform.notes]
    return "\n".join(words)


def _table(head: tuple[str, str], rows: Mapping[str, object]) -> list[str]:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    for cells in rows.items():
        name, value = (str(cell).replace("|", "\\|") for cell in cells)
        lines.append(f"| {name} | {value} |")
    return lines


def _figures(figures: Mapping[str, Any] | None) -> list[str]:
    """Held-out figures with their errors and standing, or that there are none."""
    if figures is None:
        return ["\n## Figures\n\nIt was not evaluated."]
    return [
        f"\n## Figures\n\nOn held-out rows, with standard errors (seed {figures['seed']}).\n",
        *_table(("quantity", "value"), figures["rows"]),
        *(
            f"\nWarning: {warning}."
            for warning in (*figures.get("recoveries", ()), *figures["warnings"])
        ),
    ]


def _loading(repo_id: str, config: Config, conditional: bool) -> list[str]:
    place, download = f'"{repo_id}"', []
    if "/" in repo_id:
        place, download = (
            f"snapshot_download({place})",
            ["from huggingface_hub import snapshot_download"],
        )
    lines = ["```python", "import gibbsian", *download, ""]
    lines += [f"model = gibbsian.load_model({place})", "```"]
    if not conditional:
        lines.insert(-1, "x = model.sample(64)")
    own = [network.name for network in config.networks.values() if ":" in network.name]
    if own:
        names = ", ".join(f"`{name}`" for name in own)
        lines.append(
            f"\nIts networks {names} are not part of Gibbsian: have their code at hand, and say "
            "`trust_code=True` if you trust it."
        )
    return lines

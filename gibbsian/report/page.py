"""One self-contained HTML page about a run: numbers, pictures, configuration. No outside request."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import Any

from gibbsian.report.figures import draw

CAPTIONS = {
    "samples": "Held-out data on the left, samples of the model on the right.",
    "energies": "How the energy tells held-out data from corrupted data: further right is stranger.",
    "landscape": "The model's density over the plane; beside it the true one where it is known.",
    "manifold": "The latent plane at equal steps of probability: what the model makes of each point.",
    "losses": "What each player descended, over the rounds.",
}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #111827; background: #ffffff; }
h1, h2 { line-height: 1.2; } img { max-width: 100%; height: auto; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { padding: 0.25rem 0.75rem; border-bottom: 1px solid #d1d5db; text-align: left; }
pre { background: #f3f4f6; padding: 1rem; overflow-x: auto; } figure { margin: 1.5rem 0; }
figcaption { color: #374151; }
"""


def write_page(run: Path, output: Path | None = None) -> Path:
    """Draw the run's pictures and write ``run/report.html`` (or ``output``); returns the file."""
    output = run / "report.html" if output is None else output
    pictures = draw(run)
    config = json.loads((run / "config.json").read_text())
    title = f"{config['config']['method']} on {config['config']['data']}"
    parts = [f"<h1>{html.escape(title)}</h1>"]
    evaluation = run / "evaluation.json"
    if evaluation.is_file():
        parts.append(_tables(json.loads(evaluation.read_text())))
    for name, path in pictures.items():
        data = base64.b64encode(path.read_bytes()).decode()
        caption = CAPTIONS[name]
        parts.append(
            f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    settings = html.escape(json.dumps(config, indent=2))
    parts.append(
        f"<h2>Configuration</h2><details><summary>show</summary><pre>{settings}</pre></details>"
    )
    output.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )
    return output


def _tables(evaluation: dict[str, Any]) -> str:
    """The rows of ``evaluation.json`` that are meant for people."""
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
        for name, text in evaluation["rows"].items()
    )
    text = f"<h2>Figures</h2><table>{rows}</table>"
    table = evaluation.get("anomaly")
    if table:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("AUROC", *table["columns"]))
        body = "".join(
            f"<tr><th scope='row'>{html.escape(name)}</th>"
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
            + "</tr>"
            for name, cells in table["rows"].items()
        )
        text += f"<h2>Held-out against corrupted data</h2><table><tr>{head}</tr>{body}</table>"
    return text

"""Faults of the report: what is escaped, refused, drawn, said and kept."""

from __future__ import annotations

from mutants.fault import faults

PAGE, MARKDOWN = "tests/report/test_page.py::test", "tests/report/test_markdown.py::test"
CHAINS = "tests/report/test_chains.py::test"
RENDER, RECORD = "gibbsian/report/render.py", "gibbsian/report/record.py"
CURVES, FIGURES = "gibbsian/report/curves.py", "gibbsian/report/figures.py"
PAGES, SETTINGS = "gibbsian/report/pages.py", "gibbsian/report/settings.py"
TEMPLATE, STYLE = "gibbsian/report/templates/page.html", "gibbsian/report/templates/style.css"
FACTS = "gibbsian/samplers/metadata.py"

FAULTS = [
    *faults(RENDER, f"{PAGE}_markup_in_names_is_text", ("autoescape=True", "autoescape=False")),
    *faults(
        TEMPLATE,
        f"{PAGE}_structure[plane]",
        ('<html lang="en">', "<html>"),
        (' tabindex="0" aria-label="{{ b.caption }}"', ' aria-label="{{ b.caption }}"'),
        ('<th scope="row">', "<th>"),
    ),
    *faults(
        TEMPLATE,
        f"{PAGE}_structure[three]",
        ('id ~ "-" ~ loop.index', "id"),
        ("level + 1, id", "level + 2, id"),
    ),
    *faults(
        TEMPLATE,
        f"{PAGE}_nothing_outside_is_asked_for[plane]",
        ('<link rel="icon" href="data:,">', '<link rel="icon" href="/favicon.ico">'),
        ("default-src 'none'", "default-src 'self'"),
    ),
    *faults(
        TEMPLATE,
        f"{PAGE}_what_a_page_says",
        ("| replace(' ± ', '\\u00a0±\\u00a0')", ""),
        ('{% if b.warning %} class="warning"{% endif %}', ""),
    ),
    *faults(
        STYLE,
        f"{PAGE}_contrast",
        ("--muted: #4b5260", "--muted: #8b92a0"),
        ("--link: #8fc0ff", "--link: #17539b"),
        ("--alarm: #ffb08a", "--alarm: #8f2d0a"),
    ),
    *faults(
        CURVES,
        f"{PAGE}_every_picture_is_there_and_says_what_it_shows",
        ("if math.isfinite(value):", "if value is not None:"),
        ('if side["value"] is not None', "if side"),
        ("both[:1] if both[0] == both[-1] else both", "both"),
        (
            "(first, a), (last, b) = points[0], points[-1]",
            "(first, a), (last, b) = points[0], points[0]",
        ),
        ("min(v for _, v in points), max", "max(v for _, v in points), max"),
        ("if v is not None]", "]"),
    ),
    *faults(
        CURVES,
        f"{PAGE}_bounds_of_log_z_are_drawn_together",
        ('"log_z_upper": "log Z from above"', '"log_z_upper": "log Z from below"'),
        ("if key in known and points:", "if key == 'log_z_lower' and points:"),
    ),
    *faults(
        CURVES,
        f"{PAGE}_contrast",
        ('MODEL, GREY = "#1f5fa8", "#b93a08"', 'MODEL, GREY = "#1f5fa8", "#f98a58"'),
    ),
    *faults(
        FIGURES,
        f"{PAGE}_every_picture_is_there_and_says_what_it_shows",
        ("float(column) / (density.shape[1] - 1)", "float(row) / (density.shape[1] - 1)"),
        ("above - below) * float(row)", "above - below) * float(column)"),
        ("density > density.max() / 10", "density > density.max() / 100"),
        ("float(np.median(v))", "float(v.mean())"),
    ),
    *faults(
        FIGURES,
        f"{PAGE}_pictures_of_data",
        (
            "_sheet(title.split()[0], title, x[:SHEET], 8)",
            "_sheet(title.split()[0], title, ours[:2], 8)",
        ),
    ),
    *faults(
        PAGES,
        f"{PAGE}_several_runs_side_by_side",
        ('"not evaluated" if f is None', '"not applicable" if f is None'),
        (
            "if any(other != first for other in others):",
            "if all(other == first for other in others):",
        ),
    ),
    *faults(
        PAGES,
        f"{PAGE}_runs_on_the_same_data_are_drawn_on_one_scale",
        ("folders.count(folder) > 1", "folders.count(folder) > 2"),
        ("if len(set(names)) == len(names):", "if names:"),
    ),
    *faults(
        PAGES,
        f"{PAGE}_a_run_without_a_logged_round",
        ("--resume {shlex.quote(str(record.path))}", "--resume {record.path}"),
    ),
    *faults(
        SETTINGS,
        f"{PAGE}_settings_that_differ_stand_in_the_open",
        ("if value != usual.get(name)", "if value == usual.get(name)"),
    ),
    *faults(SETTINGS, f"{PAGE}_what_a_page_says", ("last['round'] / rate", "last['round'] * rate")),
    *faults(
        RECORD,
        f"{PAGE}_what_a_page_says",
        ('if not line.endswith(b"\\n"):', 'if line.endswith(b"x"):'),
    ),
    *faults(
        RECORD,
        f"{PAGE}_damage_is_one_sentence",
        ('not fits(entry, {str: NUMBER}) or "round"', '"round"'),
        (
            "(ValueError, EOFError, zipfile.BadZipFile, zlib.error)",
            "(ValueError, EOFError, zlib.error)",
        ),
    ),
    *faults(
        RECORD,
        f"{PAGE}_whatever_is_damaged_no_other_error_comes",
        ("whole = whole and fits(anomaly, ANOMALY)", "whole = whole"),
        ("fits(found, EVALUATION)", "True"),
        ('fits(found["values"][name], SIDES)', "True"),
        ("if not fits(entry, CHAINS) or any", "if any"),
        ("if not fits(facts.get(name, {}), {str: str}):", "if name not in facts:"),
    ),
    *faults(
        "gibbsian/report/shapes.py",
        f"{PAGE}_whatever_is_damaged_no_other_error_comes",
        ("isinstance(value, list) and all", "all"),
        ("name in value and fits(value[name], one)", "fits(value.get(name), one)"),
    ),
    *faults(
        RENDER,
        f"{MARKDOWN}_tables_and_texts_hold_no_markup",
        ("<>#|~$&])", "<>#~$&])"),
        ("|^(?=[-+=])", ""),
        ('" ".join(text.split())', "text"),
        ("while name in files:", "while name not in files and number < 1:"),
        ('picture.name.lower()).strip("-")', "picture.name.lower())"),
    ),
    *faults(
        RENDER,
        f"{MARKDOWN}_pictures_lie_beside_the_page",
        ("quote(f'{folder}/{name}')", "f'{folder}/{name}'"),
    ),
    *faults(
        FACTS,
        f"{CHAINS}_facts",
        ("descending=True", "descending=False"),
        ("(k + 1) * chains.steps // kept", "k * chains.steps // kept"),
        ("int(chains.divergences.sum())", "int(chains.divergences.max())"),
    ),
    *faults(FACTS, f"{CHAINS}_positions", ("flat * size + int(index)", "flat + int(index)")),
    *faults(
        FACTS,
        f"{CHAINS}_what_is_not_finite_is_none",
        ("nan_to_num(torch.inf)", "nan_to_num(0.0)"),
        ("float(value) if math.isfinite(float(value)) else None", "float(value)"),
    ),
]

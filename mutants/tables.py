"""Faults at the edge of the data: headers, missing values, classes, scales, what is told and when."""

from __future__ import annotations

from mutants.fault import faults

CELLS, CLASSES, TABLES = (f"gibbsian/data/{name}.py" for name in ("cells", "classes", "tables"))
HEADERS, TARGETS = "tests/data/test_headers.py::test_", "tests/data/test_classes.py::test_"

FAULTS = [
    *faults(
        "gibbsian/data/named.py",
        "tests/data/test_dataset.py::test_a_folder_holds_pictures_unless_its_name_means_something_else",
        ('name in ("", ARRAY) or ', ""),
        ("is_density(name) or is_named(name)\n    return not", "is_named(name)\n    return not"),
    ),
    *faults(
        CELLS,
        f"{HEADERS}missing_values_name_their_place",
        ("return not (is_number(cell) or is_missing(cell)", "return not (is_number(cell)"),
        ("return cell.lower() in MISSING", "return cell in MISSING"),
        ('"none", "nan", "-"', '"none", "nan"'),
    ),
    *faults(
        CELLS,
        f"{HEADERS}what_is_a_header",
        ("if not is_text(cell) and not is_missing(cell)]", "if not is_text(cell)]"),
    ),
    *faults(
        CELLS,
        f"{HEADERS}an_index_is_refused",
        ("all(c.isdecimal() for c in cells)", "False"),
    ),
    *faults(
        CELLS,
        f"{HEADERS}the_index_of_filtered_or_sorted_rows_is_refused",
        ("len(set(cells)) == len(cells)", "True"),
    ),
    *faults(
        TABLES,
        f"{HEADERS}an_index_is_refused",
        ('if name == "" and counts_rows', "if counts_rows"),
    ),
    *faults(
        TABLES,
        f"{HEADERS}decimal_commas_are_told_before_missing_values",
        ("(not has_decimal_comma(cell), i, j)", "(True, i, j)"),
    ),
    *faults(
        TABLES,
        f"{TARGETS}words_become_class_numbers",
        ("columns[:place] + columns[place + 1 :]", "columns"),
    ),
    *faults(
        CLASSES,
        f"{TARGETS}words_become_class_numbers",
        ("        return number - 1\n", "        return number % width\n"),
    ),
    *faults(
        CLASSES,
        f"{TARGETS}what_is_no_class",
        ("(values >= 0) & ", ""),
        (" & (values == np.floor(values))", ""),
        (" & (values < MOST)", ""),
        ("if is_missing(cell):", "if not cell:"),
    ),
    *faults(
        CLASSES,
        f"{TARGETS}rows_to_score_may_have_their_classes_or_not",
        ("<= width == self.others + 1", "<= width"),
    ),
    *faults(
        "gibbsian/data/transforms.py",
        "tests/data/test_transforms.py::test_values_that_cannot_be_scaled_name_their_column",
        ("_check_finite(every, name, part)", "_check_finite(x[:, j].numpy(), name, part)"),
        (" and np.isfinite(u).all()", ""),
        ("max(unit, scale) < math.inf and ", ""),
    ),
    *faults(
        "gibbsian/models/train.py",
        "tests/cli/test_notes.py::test_notes_come_before_the_first_row_of_metrics",
        ("                for note in dataset.notes:", "                for note in ():"),
    ),
    *faults(
        "gibbsian/data/queries.py",
        "tests/data/test_files.py::test_pictures_of_several_sizes_say_how_to_bring_them_to_one",
        ("files.read(Path(path), size, classes)", "files.read(Path(path), None, classes)"),
    ),
]

"""Whatever jobs report and ask for has plain words, a unit and an explanation."""

import ast
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

import cryocloud
from cryocloud.catalog import job_type_names, load_job_type, load_workflow, workflow_names
from cryocloud.catalog.fields import shown_value, title, unit
from cryocloud.catalog.files import meaning_of
from cryocloud.catalog.messages import field_complaints
from cryocloud.catalog.metrics import METRICS, metric_of, spoken_number
from cryocloud.catalog.units import split_unit, value_words

SOURCE = Path(cryocloud.__file__).parent
CODE_WORDS = re.compile(r"_|\b(min|max|sd|num|n|idx|px|deg|angstrom)\b", re.IGNORECASE)


def parsed(folder):
    return {
        path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((SOURCE / folder).rglob("*.py"))
    }


def keys_of(node):
    """Names in a dict that is written out; a number at the end stands for any."""
    for key in [*node.keys] if isinstance(node, ast.Dict) else [node.key]:
        if isinstance(key, ast.Constant):
            yield key.value
        elif isinstance(key, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "1" for part in key.values)


def numbers_of(call, function, functions):
    """Names that a call reports, in its keywords or in a dict of this or of another function."""
    for keyword in call.keywords:
        if keyword.arg is not None:
            yield keyword.arg
            continue
        where = keyword.value
        if isinstance(where, ast.Name):
            assigned = (node for node in ast.walk(function) if isinstance(node, ast.Assign))
            where = next(node for node in assigned if ast.unparse(node.targets[0]) == keyword.value.id)
        elif isinstance(where, ast.Call):
            where = functions[where.func.id]
        dicts = [node for node in ast.walk(where) if isinstance(node, ast.Dict | ast.DictComp)]
        assert dicts, f"{function.name}: the names of these numbers cannot be told"
        yield from (name for one in dicts for name in keys_of(one))


def reported_numbers():
    """(file, name) of each number that a job body reports: ``job.metrics(name=..., **more)``."""
    for path, module in parsed("jobs").items():
        functions = {node.name: node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)}
        for function in functions.values():
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "metrics":
                    yield from ((path.name, name) for name in numbers_of(call, function, functions))


REPORTED = sorted(set(reported_numbers()))


def test_the_search_finds_the_numbers_of_all_kinds_of_calls():
    found = {name for _, name in REPORTED}
    assert {"resolution_angstrom", "symmetry_explained", "particles_class1", "cc_20A"} <= found


@pytest.mark.parametrize(("file", "name"), REPORTED)
def test_each_number_that_a_job_reports_has_words(file, name):
    known = metric_of(name)
    assert known is not None, f"{file} reports {name}: say what it is in catalog/metrics.py"
    assert known.label and not CODE_WORDS.search(known.label)
    assert known.help.endswith(".") and len(known.help) <= 110


@pytest.mark.parametrize("name", METRICS)
def test_no_words_are_left_for_numbers_that_nobody_reports(name):
    names = {name for _, name in REPORTED} | {"unmasked_resolution_angstrom"}
    assert name in names or f"{name}1" in names


@pytest.mark.parametrize(
    ("name", "value", "label", "text"),
    [
        ("resolution_angstrom", 7.1234, "resolution", "7.12 Å"),
        ("resolution_angstrom", 5.060000001, "resolution", "5.06 Å"),
        ("b_factor_angstrom2", -210.0, "B-factor", "-210 Å²"),
        ("particles", 2584, "particles", "2,584"),
        ("particles_class3", 12000, "particles of class 3", "12,000"),
        ("kept_fraction", 0.87312, "kept", "87.3 %"),
        ("trusted", 1, "to be trusted", "yes"),
        ("limited_by_pixel", 0.0, "limited by the pixel", "no"),
        ("pose_change_median_deg", 0.31, "last change of orientation", "0.31°"),
        ("defocus_median_angstrom", 999.6, "defocus", "1,000 Å"),
        ("pixel_size_angstrom", 1.0576, "pixel size", "1.058 Å"),
        ("log_evidence_gain", 0.0000123, "evidence", "0.0000123"),
        ("resolution_angstrom", None, "resolution", "–"),
        ("of_another_version_e_per_angstrom2", 40, "of another version", "40 e⁻/Å²"),
    ],
)  # fmt: skip
def test_numbers_are_spoken_with_their_unit(name, value, label, text):
    spoken = spoken_number(name, value)
    assert (spoken.label, spoken.text) == (label, text)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "none"), (True, "on"), ([], "none"), ([1, 2.5], "1, 2.5"), (5.060000001, "5.06"), (40.0, "40"),
        (1234567.0, "1,234,567"), ({"box_size_px": 128, "axes": [1, None]}, "box size 128; axes 1, none"),
        ("ab initio", "ab initio"),
    ],
)  # fmt: skip
def test_any_value_is_words_and_no_code(value, words):
    assert value_words(value) == words


def test_what_is_left_to_the_job_is_automatic():
    assert (shown_value(None, "Å"), shown_value(20.0, "Å"), shown_value((), "")) == (
        "automatic",
        "20 Å",
        "none",
    )


ENTRIES = [*map(load_job_type, job_type_names()), *map(load_workflow, workflow_names())]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_each_parameter_has_a_label_in_plain_words_and_a_line_of_help(entry):
    for name, field in entry.parameters.model_fields.items():
        label = title(name)
        assert label[0].isupper() and not CODE_WORDS.search(label), f"{name}: add words to catalog/labels.py"
        assert field.description and field.description[0].isalpha(), name
        assert unit(field) in ("", "diameters", split_unit(name)[1]), name


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_each_input_and_result_is_explained(entry):
    assert all(one.help for one in entry.inputs)
    for group in getattr(entry, "groups", ()):
        assert group.title and not CODE_WORDS.search(group.title)
    for name in getattr(entry, "outputs", ()):
        assert meaning_of(name), f"{name}: say what it is in catalog/files.py"


def test_no_message_writes_an_angstrom_as_a():
    """Of the texts that are put together from numbers: file formats and prose in comments are ASCII."""
    wrong = re.compile(r"^ (A|A\^2|deg)(?=[\s.,;:)]|$)")
    found = [
        f"{path.name}:{node.lineno}"
        for folder in ("jobs", "engine", "catalog", "compute", "web", "client")
        for path, module in parsed(folder).items()
        for node in ast.walk(module)
        if isinstance(node, ast.JoinedStr)
        for before, part in zip(node.values, node.values[1:], strict=False)
        if isinstance(before, ast.FormattedValue)
        and isinstance(part, ast.Constant)
        and wrong.match(part.value)
    ]
    assert not found


def test_complaints_on_forms_name_parameters_by_their_labels():
    with pytest.raises(ValidationError) as caught:
        load_job_type("ctf").parameters(defocus_min_angstrom=60000.0)
    complaints = field_complaints(caught.value, load_job_type("ctf").parameters.model_fields)
    words = "“Smallest defocus” 60,000 Å must be below “Largest defocus” 50,000 Å"
    assert complaints == {"defocus_min_angstrom": words}

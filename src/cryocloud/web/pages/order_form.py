"""The form for a job or a workflow, made from what the catalog declares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from cryocloud.catalog import fields as catalog_fields
from cryocloud.catalog.base import Input, JobType
from cryocloud.catalog.messages import field_complaints
from cryocloud.catalog.optics import OpticsParameters
from cryocloud.catalog.workflow import Workflow
from cryocloud.web.core.errors import Refused
from cryocloud.web.metering.caps import FIELD as CAP
from cryocloud.web.metering.caps import cap_of_text
from cryocloud.web.pages.input_choices import Choice, sections

PARAMETER, INPUT, PREFILLED, FIND = "parameter-", "input-", "prefilled-", "find-"
ON, OFF = "on", "off"
SEED_MAX = 2**31 - 1
KIND_TITLES = {
    "micrograph_files": "Micrographs",
    "particle_files": "Particles",
    "coordinate_files": "Coordinates",
    "micrographs": "Micrographs",
    "particles": "Particles",
    "picks": "Picks",
    "folder": "Result",
}
KIND_HELP = {
    "micrograph_files": "A dataset of aligned, summed micrographs, or a STAR file that lists them.",
    "coordinate_files": "A table of coordinates, or a dataset with a file for each micrograph.",
    "micrographs": "Micrographs that an earlier job has listed.",
    "particles": "Particles that an earlier job has listed.",
}
FEW_CHOICES = 12
TEXT_LENGTH_MAX = 1000

Entry = JobType | Workflow


@dataclass
class ParameterField:
    """One parameter as the page draws it; ``value`` is what stands in the control."""

    name: str
    title: str
    unit: str
    help: str
    control: str
    value: str
    is_required: bool
    words: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    placeholder: str = ""
    prefilled: str = ""
    error: str = ""

    @property
    def html_name(self) -> str:
        return PARAMETER + self.name


@dataclass
class InputField:
    """One input with what may be chosen for it; ``text`` is what the choices were searched for."""

    name: str
    title: str
    help: str
    is_required: bool
    value: str
    choices: list[Choice]
    text: str = ""
    picture: str = ""
    error: str = ""

    @property
    def sections(self) -> list[tuple[str, list[Choice]]]:
        return sections(self.choices)

    @property
    def is_searched(self) -> bool:
        return bool(self.text) or len(self.choices) > FEW_CHOICES

    @property
    def html_name(self) -> str:
        return INPUT + self.name

    @property
    def find_name(self) -> str:
        return FIND + self.name


@dataclass
class OrderForm:
    """All of it, and what was typed so far."""

    inputs: list[InputField]
    first: list[ParameterField]
    more: list[ParameterField]
    seed: str = "0"
    cap: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def has_errors_below(self) -> bool:
        """Whether the folded part holds something to mend."""
        return any(one.error for one in self.more) or "seed" in self.errors

    @property
    def first_wrong(self) -> str:
        """The control that is to be mended first, from top to bottom."""
        drawn: list[InputField | ParameterField] = [*self.inputs, *self.first, *self.more]
        seed = "seed" if "seed" in self.errors else ""
        cap = CAP if CAP in self.errors else ""
        return next((one.html_name for one in drawn if one.error), seed or cap)

    @property
    def general_error(self) -> str:
        named = (
            {one.name for one in self.inputs}
            | {one.name for one in (*self.first, *self.more)}
            | {"seed", CAP}
        )
        return " ".join(text for name, text in self.errors.items() if name not in named)


@dataclass(frozen=True)
class Typed:
    """What the form sent: parameters ready for validation, references of inputs, the seed."""

    parameters: dict[str, Any]
    inputs: dict[str, str]
    seed: int
    errors: dict[str, str]
    compute_cap_s: int | None = None


def typed_values(entry: Entry, sent: QueryDict) -> Typed:
    """Read the form; parameters are validated in full, messages stand under the names of the fields."""
    given: dict[str, Any] = {}
    for name, declared in entry.parameters.model_fields.items():
        texts = [text[:TEXT_LENGTH_MAX].strip() for text in sent.getlist(PARAMETER + name)]
        if texts:
            _read_parameter(given, name, declared, texts[-1])
    inputs = {one.name: sent.get(INPUT + one.name, "")[:TEXT_LENGTH_MAX] for one in entry.inputs}
    errors = {
        one.name: "Choose what the job reads."
        for one in entry.inputs
        if one.required and not inputs[one.name]
    }
    seed, seed_error = _read_seed(sent.get("seed", ""))
    if seed_error:
        errors["seed"] = seed_error
    cap_s = _read_cap(sent, errors) if isinstance(entry, Workflow) else None
    try:
        parameters = entry.parameters.model_validate(given).model_dump(mode="json")
    except ValidationError as error:
        return Typed(given, inputs, seed, field_complaints(error, entry.parameters.model_fields) | errors)
    return Typed(parameters, {name: text for name, text in inputs.items() if text}, seed, errors, cap_s)


def _read_cap(sent: QueryDict, errors: dict[str, str]) -> int | None:
    try:
        return cap_of_text(sent.get(CAP, ""))
    except Refused as refused:
        errors.update(refused.fields)
        return None


def _read_parameter(given: dict[str, Any], name: str, declared: FieldInfo, text: str) -> None:
    kind = catalog_fields.plain_type(declared)
    if catalog_fields.is_list(kind):
        given[name] = text.replace(",", " ").split()
    elif kind is bool:
        given[name] = text == ON
    elif text:
        given[name] = text
    elif catalog_fields.is_optional(declared):
        given[name] = None


def _read_seed(text: str) -> tuple[int, str]:
    text = text.strip()
    if not text:
        return 0, ""
    if text.isascii() and text.isdigit() and int(text[:20]) <= SEED_MAX:
        return int(text), ""
    return 0, f"“{text[:20]}” cannot be used; give a whole number from 0 to {SEED_MAX:,}."


def texts_of(parameters: Mapping[str, Any], inputs: Mapping[str, str], seed: int = 0) -> QueryDict:
    """Stored values as the form would send them: for cloning."""
    sent = QueryDict(mutable=True)
    for name, value in parameters.items():
        sent[PARAMETER + name] = "" if value is None else catalog_fields.value_text(value)
        if isinstance(value, list | tuple):
            sent[PARAMETER + name] = ", ".join(str(part) for part in value)
    for name, text in inputs.items():
        sent[INPUT + name] = text
    sent["seed"] = str(seed)
    return sent


def make_form(
    entry: Entry,
    choices: Mapping[str, list[Choice]],
    *,
    sent: QueryDict,
    profile: Mapping[str, Any],
    errors: dict[str, str],
) -> OrderForm:
    """The form with what was sent; blank optics fields take the dataset's profile."""
    made = [
        _parameter_field(name, declared, sent, profile)
        for name, declared in entry.parameters.model_fields.items()
    ]
    for one in made:
        one.error = errors.get(one.name, "")
    inputs = [_input_field(one, choices.get(one.name, []), sent) for one in entry.inputs]
    for chosen in inputs:
        chosen.error = errors.get(chosen.name, "")
    shown_first = _shown_first(entry)
    is_first = {one.name for one in made if one.is_required or one.name in shown_first}
    return OrderForm(
        inputs=inputs,
        first=sorted((one for one in made if one.name in is_first), key=lambda one: not one.is_required),
        more=[one for one in made if one.name not in is_first],
        seed=sent.get("seed", "0"),
        cap=sent.get(CAP, "")[:TEXT_LENGTH_MAX],
        errors=errors,
    )


def _shown_first(entry: Entry) -> set[str]:
    """Beside what is required: symmetry and optics, which every workflow asks about; of short forms, everything."""
    names = set(entry.parameters.model_fields)
    if len(names) <= 4:
        return names
    return names & {"symmetry", "classes", *OpticsParameters.model_fields}


def _parameter_field(
    name: str, declared: FieldInfo, sent: QueryDict, profile: Mapping[str, Any]
) -> ParameterField:
    kind = catalog_fields.plain_type(declared)
    words = catalog_fields.choices(declared)
    control = "text"
    if kind is bool:
        control = "switch"
    elif words:
        control = "words"
    elif kind in (int, float):
        control = "number"
    elif name == "symmetry":
        control = "symmetry"
    made = ParameterField(
        name=name,
        title=catalog_fields.title(name),
        unit=catalog_fields.unit(declared),
        help=_help(declared, control),
        control=control,
        value=_default(declared),
        is_required=declared.is_required(),
        words=["", *words] if words and catalog_fields.is_optional(declared) else words,
        attributes=_attributes(declared, kind, control),
    )
    if not declared.is_required() and catalog_fields.is_optional(declared):
        made.placeholder = "automatic"
    elif catalog_fields.is_list(kind):
        made.placeholder = "none"
    _fill(made, sent, profile)
    return made


def _fill(made: ParameterField, sent: QueryDict, profile: Mapping[str, Any]) -> None:
    """What was typed wins over the profile, unless it came from the profile of another dataset."""
    key = made.html_name
    before = sent.get(PREFILLED + made.name)
    typed = sent.getlist(key)[-1] if key in sent else None
    if typed is not None and typed != before:
        made.value = typed[:TEXT_LENGTH_MAX]
        if typed:
            return
    if made.name in OpticsParameters.model_fields and profile.get(made.name) is not None:
        made.value = made.prefilled = _number_text(profile[made.name])
    elif typed is not None and typed == before:
        made.value = ""


def _default(declared: FieldInfo) -> str:
    value = catalog_fields.default_value(declared)
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    if isinstance(value, float):
        return _number_text(value)
    return catalog_fields.value_text(value)


def _number_text(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return f"{value:.0f}"
    return str(value)


def _help(declared: FieldInfo, control: str) -> str:
    text = (declared.description or "").replace("none:", "blank:")
    text = text if text.endswith("...") else text.rstrip(".")
    limits = catalog_fields.range_text(declared) if control == "number" else ""
    joined = f"{text} ({limits})" if limits else text
    if catalog_fields.is_list(catalog_fields.plain_type(declared)):
        joined += "; several with commas between them"
    return joined if joined.endswith(".") else f"{joined}."


def _attributes(declared: FieldInfo, kind: Any, control: str) -> dict[str, str]:
    """Constraints as the browser understands them; exclusive bounds are left to the server's last word."""
    if control != "number":
        return {}
    bounds = catalog_fields.bounds(declared)
    found = {"step": "1" if kind is int else "any"}
    lower, upper = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if lower is not None:
        found["min"] = str(lower)
    if upper is not None:
        found["max"] = str(upper)
    return found


def default_choice(choices: list[Choice]) -> str:
    """A whole dataset before results, otherwise the first."""
    references = [choice.reference for choice in choices]
    datasets = (one for one in references if one.startswith("dataset:"))
    return next(datasets, next(iter(references), ""))


def _input_field(declared: Input, choices: list[Choice], sent: QueryDict) -> InputField:
    value = sent.get(INPUT + declared.name)
    if value is None:
        value = default_choice(choices) if declared.required else ""
    elif value and value not in {choice.reference for choice in choices}:
        value = ""
    return InputField(
        name=declared.name,
        title=KIND_TITLES.get(declared.kind, "Input")
        if declared.name == "input"
        else catalog_fields.title(declared.name),
        help=KIND_HELP.get(declared.kind, declared.help),
        is_required=declared.required,
        value=value,
        choices=choices,
        text=sent.get(FIND + declared.name, "")[:TEXT_LENGTH_MAX],
    )

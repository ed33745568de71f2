"""What a person changes by hand in a result. The browser draws it, jobs read it as a JSON file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

EDGE_MAX_PX = 100_000
POINTS_MAX = 200_000
MICROGRAPHS_MAX = 20_000
SOLIDS_MAX = 5_000
NAME_LENGTH_MAX = 300


def _without_nul(name: str) -> str:
    if "\0" in name:
        raise ValueError("a name holds a NUL character")
    return name


PixelPlace = Annotated[float, Field(ge=-0.5, le=EDGE_MAX_PX, allow_inf_nan=False)]
Angstrom = Annotated[float, Field(ge=-1e5, le=1e5, allow_inf_nan=False)]
Length = Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH_MAX), AfterValidator(_without_nul)]
Points = Annotated[tuple[tuple[PixelPlace, PixelPlace], ...], Field(max_length=POINTS_MAX)]
Names = Annotated[tuple[Name, ...], Field(max_length=MICROGRAPHS_MAX)]


class Edits(BaseModel, ABC):
    """Base: frozen, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def summary(self) -> str:
        """How much was changed, in words; empty if nothing was."""


class MicrographEdits(BaseModel):
    """Pixels of the micrograph, x and y from 0 at the center of the first pixel; what was erased lay there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    added: Points = ()
    erased: Points = ()


class PickEdits(Edits):
    """Picks that were added and erased, by the file names of their micrographs."""

    micrographs: Annotated[dict[Name, MicrographEdits], Field(max_length=MICROGRAPHS_MAX)] = {}

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        count = self.added + self.erased
        if count > POINTS_MAX:
            raise ValueError(f"{count:,} picks are too many to be edited by hand; at most {POINTS_MAX:,}")
        return self

    @property
    def added(self) -> int:
        return sum(len(one.added) for one in self.micrographs.values())

    @property
    def erased(self) -> int:
        return sum(len(one.erased) for one in self.micrographs.values())

    def summary(self) -> str:
        return f"{self.added:,} added, {self.erased:,} erased" if self.added + self.erased else ""


class CurationEdits(Edits):
    """Micrographs that are accepted or rejected whatever the limits say, by their file names."""

    accepted: Names = ()
    rejected: Names = ()

    @model_validator(mode="after")
    def _either_or(self) -> Self:
        both = sorted(set(self.accepted) & set(self.rejected))
        if both:
            raise ValueError(f"{both[0]} is both accepted and rejected; decide for one")
        return self

    def summary(self) -> str:
        if not self.accepted and not self.rejected:
            return ""
        return f"{len(self.accepted):,} accepted, {len(self.rejected):,} rejected"


class Solid(BaseModel):
    """A ball or a cylinder that is added to a mask or taken from it.

    The center counts from that of the first voxel. ``axis`` and ``length_angstrom`` are a cylinder's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["ball", "cylinder"]
    adds: bool = True
    center_xyz_angstrom: tuple[Angstrom, Angstrom, Angstrom]
    radius_angstrom: Length
    axis: Literal["x", "y", "z"] = "z"
    length_angstrom: Length | None = None

    @model_validator(mode="after")
    def _cylinders_have_a_length(self) -> Self:
        if self.kind == "cylinder" and self.length_angstrom is None:
            raise ValueError("a cylinder needs length_angstrom")
        return self


class MaskEdits(Edits):
    """Solids in the order in which they were drawn."""

    solids: Annotated[tuple[Solid, ...], Field(max_length=SOLIDS_MAX)] = ()

    def summary(self) -> str:
        adding = sum(solid.adds for solid in self.solids)
        if not self.solids:
            return ""
        return f"{adding:,} shapes added, {len(self.solids) - adding:,} taken away"


EDITS: dict[str, type[Edits]] = {"picks": PickEdits, "micrographs": CurationEdits, "mask": MaskEdits}


def fault_of(error: ValidationError) -> str:
    """The first thing that is wrong with edits, with its place and value, in one plain line."""
    first = error.errors(include_url=False)[0]
    place = " ".join(str(part) for part in first["loc"])
    match first["type"]:
        case "value_error":
            return str(first["ctx"]["error"])
        case "extra_forbidden":
            return f"“{place}” is nothing that edits of this kind hold"
        case "json_invalid":
            return f"it is no JSON ({first['ctx']['error']})"
        case _:
            words = first["msg"][0].lower() + first["msg"][1:]
            return f"{place} {str(first['input'])[:80]}: {words.replace('input should', 'must')}"

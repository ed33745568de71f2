"""Tables that name files of other tenants, through everything that reads tables: nothing of them comes back.

Each table runs twice, naming a file that is there and one that is not: outcomes, words and files must not differ.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cryocloud.catalog import job_type_names, load_job_type
from cryocloud.compute.attempt import Attempt, AttemptSpec
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.name_gate import restrict_names
from cryocloud.engine.io.star import write_star
from cryocloud.jobs.inspection import inspect
from cryocloud.jobs.result_previews.micrographs import preview_micrographs
from cryocloud.jobs.result_previews.order import read_order
from outside_world import (
    ABSENT,
    FORMS,
    SECRET,
    make_world,
    traces_of_the_secret,
    watched,
)

BOX = 24
NAME = "NAME-TO-FOLLOW"
OPTICS = {
    "rlnOpticsGroup": [1],
    "rlnOpticsGroupName": ["opticsGroup1"],
    "rlnImagePixelSize": [1.5],
    "rlnMicrographPixelSize": [1.5],
    "rlnImageSize": [BOX],
    "rlnImageDimensionality": [2],
    "rlnVoltage": [300.0],
    "rlnSphericalAberration": [2.7],
    "rlnAmplitudeContrast": [0.1],
}
FIT = {"rlnOpticsGroup": 1, "rlnDefocusU": 1e4, "rlnDefocusV": 1e4, "rlnDefocusAngle": 0.0}
ANGLES = {"rlnAngleRot": 10.0, "rlnAngleTilt": 20.0, "rlnAnglePsi": 30.0}
OTHER_LABELS = (
    "rlnMicrographNameNoDW", "rlnMicrographMetadata", "rlnMicrographMovieName", "rlnMicrographGainName",
    "rlnMicrographDefectFile", "rlnMicrographPowerSpectrum", "rlnMicrographCoordinates", "rlnCtfImage",
    "rlnCtfPowerSpectrum", "rlnReferenceImage", "rlnMtfFileName",
)  # fmt: skip
REFUSED = "names a file outside the inputs of this job"


@dataclass(frozen=True)
class Ran:
    """``said``: each word that a tenant may read; ``refused``: the job's error, if it ended with one."""

    said: str
    refused: str
    exceptions: dict[str, str]


def put(path: Path, table: str, name: str, rows: dict[str, object], **optics: object) -> Path:
    """A STAR file in which the name stands as nobody's writer would write it."""
    write_star(path, {"optics": pd.DataFrame(OPTICS | optics), table: pd.DataFrame(rows)})
    path.write_text(path.read_text().replace(NAME, name))
    return path


def micrograph_rows(**more: object) -> dict[str, object]:
    return {"rlnMicrographName": ["good.mrc", NAME, "good2.mrc"], **FIT, **more}


def image_rows(**more: object) -> dict[str, object]:
    names = ["1@good.mrcs", f"1@{NAME}", "2@good.mrcs"]
    return {"rlnImageName": names, "rlnMicrographName": "good.mrc", **FIT, **ANGLES, **more}


def others(good: dict[str, object], label: str) -> dict[str, object]:
    """Only the labels beside the one that is read lead outside."""
    names = [value.replace(NAME, "good2.mrc").replace("1@good2", "3@good") for value in good[label]]
    names = [name.replace("3@good.mrc", "3@good.mrcs") for name in names]
    return good | {label: names} | dict.fromkeys(OTHER_LABELS, NAME)


def cs(path: Path, name: str, field: str) -> Path:
    names = {"blob/path": ["good.mrcs", NAME, "good.mrcs"], "location/micrograph_path": ["good.mrc"] * 3}
    names[field][1] = NAME
    width = max(32, len(name.encode()))
    numbers = {"blob/psize_A": 1.5, "ctf/accel_kv": 300, "ctf/cs_mm": 2.7, "ctf/amp_contrast": 0.1,
               "ctf/df1_A": 1e4, "ctf/df2_A": 1e4, "ctf/df_angle_rad": 0.0}  # fmt: skip
    dtype = [*((one, f"S{width}") for one in names), ("blob/idx", "<u4"), *((one, "<f4") for one in numbers)]
    records = np.zeros(3, dtype=dtype)
    for one, values in names.items():
        records[one] = [value.replace(NAME, name).encode() for value in values]
    for one, value in numbers.items():
        records[one] = value
    records["blob/idx"] = range(3) if field != "blob/path" else [0, 0, 1]
    with path.open("wb") as stream:
        np.save(stream, records)
    return path


class Bench:
    """Runs one table through one reader, in this process, as the platform's order would restrict it."""

    def __init__(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.world = make_world(tmp_path / "home")
        self.out = self.world.home / "attempts" / "a" / "out"
        self._capfd = capfd
        draw = np.random.default_rng(0)
        for name in ("good.mrc", "good2.mrc"):
            write_mrc(self.own / name, draw.normal(size=(96, 96)), 1.5)
        write_mrc(self.own / "good.mrcs", draw.normal(size=(3, BOX, BOX)), 1.5, stack=True)

    @property
    def own(self) -> Path:
        return self.world.own

    def job(self, job_type: str, inputs: dict[str, Path], **parameters: object) -> Ran:
        declared = load_job_type(job_type)
        attempt = Attempt(self.out.parent)
        self.out.mkdir(parents=True, exist_ok=True)
        spec = AttemptSpec(
            "a", job_type, declared.version, parameters, {k: str(v) for k, v in inputs.items()}, str(self.out)
        )
        restrict_names([self.own, self.out, self.out.parent / "inputs"])
        job = JobContext(attempt, spec, declared.parameters.model_validate(parameters), "cpu")
        refused = ""
        try:
            importlib.import_module(f"cryocloud.jobs.{job_type}").run(job)
        except InputError as error:
            refused = str(error)
        events = re.sub(
            r'"at_s": [\d.]+', "", attempt.events_file.read_text() if attempt.events_file.exists() else ""
        )
        return Ran(f"{refused}\n{events}\n{self._printed()}", refused, job.exceptions)

    def previews(self, name: str, rows: dict[str, object]) -> Ran:
        self.out.mkdir(parents=True, exist_ok=True)
        put(self.own / "micrographs.star", "micrographs", name, rows)
        order = read_order(
            {
                "folder": str(self.own),
                "out": str(self.out),
                "upstream": [],
                "readable": [],
                "seconds": 60,
                "symmetry": "C1",
            }
        )
        restrict_names(order.readable)
        found = preview_micrographs(order)
        problems = {problem["file"]: problem["reason"] for problem in found["problems"]}
        return Ran(json.dumps(found) + self._printed(), "", problems)

    def inspection(self, path: Path) -> Ran:
        restrict_names([path])
        self.out.mkdir(parents=True, exist_ok=True)
        found = inspect(
            path, path.name, {"thumb": str(self.out / "t.webp"), "view": str(self.out / "v.webp")}
        )
        return Ran(str(found) + self._printed(), "", {})

    def _printed(self) -> str:
        printed = self._capfd.readouterr()
        # The time of day is not a fact of a file.
        lines = (printed.out + printed.err).splitlines()
        return "\n".join(line.partition(" ")[2] for line in lines)


def micrographs_of(bench: Bench, name: str, **more: object) -> Path:
    return put(bench.own / "m.star", "micrographs", name, micrograph_rows(**more))


def particles_of(bench: Bench, name: str, **more: object) -> Path:
    return put(bench.own / "particles.star", "particles", name, image_rows(**more))


def import_micrographs(bench: Bench, name: str) -> Ran:
    return bench.job("import_micrographs", {"input": micrographs_of(bench, name)})


def import_micrographs_others(bench: Bench, name: str) -> Ran:
    rows = others(micrograph_rows(), "rlnMicrographName")
    star = put(bench.own / "m.star", "micrographs", name, rows, rlnMtfFileName=[NAME])
    return bench.job("import_micrographs", {"input": star})


def import_particles(bench: Bench, name: str) -> Ran:
    return bench.job("import_particles", {"input": particles_of(bench, name)})


def import_particles_others(bench: Bench, name: str) -> Ran:
    rows = others(image_rows(), "rlnImageName") | {"rlnMicrographName": NAME}
    star = put(bench.own / "p.star", "particles", name, rows, rlnMtfFileName=[NAME])
    return bench.job("import_particles", {"input": star})


def import_particles_cs(bench: Bench, name: str) -> Ran:
    return bench.job("import_particles", {"input": cs(bench.own / "p.cs", name, "blob/path")})


def import_particles_cs_micrographs(bench: Bench, name: str) -> Ran:
    path = cs(bench.own / "p.cs", name, "location/micrograph_path")
    return bench.job("import_particles", {"input": path})


def import_coordinates(bench: Bench, name: str) -> Ran:
    places = {"rlnMicrographName": ["good.mrc", NAME], "rlnCoordinateX": 48.0, "rlnCoordinateY": 40.0}
    inputs = {
        "input": put(bench.own / "c.star", "particles", name, places),
        "micrographs": micrographs_of(bench, name),
    }
    return bench.job("import_coordinates", inputs, particle_diameter_angstrom=30.0)


def edit_picks(bench: Bench, name: str) -> Ran:
    places = {"rlnMicrographName": ["good.mrc", NAME], "rlnCoordinateX": 48.0, "rlnCoordinateY": 40.0}
    inputs = {
        "micrographs": micrographs_of(bench, name),
        "picks": put(bench.own / "e.star", "particles", name, places),
    }
    return bench.job("edit_picks", inputs, particle_diameter_angstrom=30.0)


def ctf(bench: Bench, name: str) -> Ran:
    star = put(bench.own / "m.star", "micrographs", name, {"rlnMicrographName": [NAME, NAME], **FIT})
    return bench.job("ctf", {"input": star})


def curate(bench: Bench, name: str) -> Ran:
    evidence = {"rlnCtfMaxResolution": [4.0, 5.0, 4.5], "rlnCtfImage": NAME}
    return bench.job("curate", {"input": micrographs_of(bench, name, **evidence)})


def pick(bench: Bench, name: str) -> Ran:
    star = put(bench.own / "m.star", "micrographs", name, {"rlnMicrographName": [NAME, NAME], **FIT})
    return bench.job("pick", {"input": star}, particle_diameter_angstrom=30.0)


def extract(bench: Bench, name: str) -> Ran:
    places = {"rlnCoordinateX": 48.0, "rlnCoordinateY": 48.0}
    star = put(bench.own / "picks.star", "particles", name, micrograph_rows(**places))
    return bench.job("extract", {"input": star}, box_size_px=BOX)


def extract_others(bench: Bench, name: str) -> Ran:
    rows = micrograph_rows(rlnCoordinateX=48.0, rlnCoordinateY=48.0)
    star = put(bench.own / "picks.star", "particles", name, others(rows, "rlnMicrographName"))
    return bench.job("extract", {"input": star}, box_size_px=BOX)


def class2d(bench: Bench, name: str) -> Ran:
    return bench.job("class2d", {"input": particles_of(bench, name)})


def abinitio(bench: Bench, name: str) -> Ran:
    return bench.job("abinitio", {"input": particles_of(bench, name)})


def refine(bench: Bench, name: str) -> Ran:
    write_mrc(bench.own / "map.mrc", blob(), 1.5)
    inputs = {"input": particles_of(bench, name), "reference": bench.own / "map.mrc"}
    return bench.job("refine", inputs)


def select2d(bench: Bench, name: str) -> Ran:
    classes = {
        "rlnReferenceImage": [f"1@{NAME}", "2@good.mrcs"], "cryocloudClassParticles": [2, 1],
        "rlnEstimatedResolution": [10.0, 11.0], "cryocloudClassMatch": [1.0, 2.0],
        "cryocloudClassCenterDensity": [1.0, 1.0], "cryocloudClassEdgeRatio": [1.0, 1.0],
        "cryocloudResolutionScore": [1.0, 1.0], "cryocloudMatchScore": [1.0, 1.0],
        "cryocloudCenterScore": [1.0, 1.0], "cryocloudEdgeScore": [1.0, 1.0], "rlnClassScore": [0.9, 0.8],
    }  # fmt: skip
    put(bench.own / "classes.star", "model_classes", name, classes)
    text = (bench.own / "classes.star").read_text()
    (bench.own / "classes.star").write_text(text[text.index("data_model_classes") :])
    write_mrc(
        bench.own / "classes.mrcs", np.random.default_rng(1).normal(size=(2, BOX, BOX)), 1.5, stack=True
    )
    star = particles_of(bench, name, rlnClassNumber=[1, 1, 2])
    return bench.job("select2d", {"input": star}, min_particles=1)


def compare_truth(bench: Bench, name: str) -> Ran:
    rows = micrograph_rows(rlnCoordinateX=48.0, rlnCoordinateY=48.0)
    inputs = {
        "input": put(bench.own / "picks.star", "particles", name, rows),
        "truth": put(bench.own / "truth.star", "particles", name, rows),
    }
    return bench.job("compare_truth", inputs)


def postprocess(bench: Bench, name: str) -> Ran:
    noise = np.random.default_rng(2).normal(0, 0.05, size=(2, BOX, BOX, BOX)).astype(np.float32)
    for number in (1, 2):
        write_mrc(bench.own / f"half{number}.mrc", blob() + noise[number - 1], 1.5)
    particles_of(bench, name)
    return bench.job("postprocess", {"input": bench.own})


def previews_of_micrographs(bench: Bench, name: str) -> Ran:
    return bench.previews(name, micrograph_rows())


def previews_of_spectra(bench: Bench, name: str) -> Ran:
    return bench.previews(name, others(micrograph_rows(), "rlnMicrographName"))


def inspection_of_star(bench: Bench, name: str) -> Ran:
    return bench.inspection(micrographs_of(bench, name, **dict.fromkeys(OTHER_LABELS, NAME)))


def inspection_of_cs(bench: Bench, name: str) -> Ran:
    return bench.inspection(cs(bench.own / "p.cs", name, "blob/path"))


def inspection_of_mdoc(bench: Bench, name: str) -> Ran:
    path = bench.own / "series.mrc.mdoc"
    path.write_text(
        f"PixelSpacing = 1.5\nImageFile = {name}\n\n[ZValue = 0]\nSubFramePath = {name}\nGainReference = {name}\n"
    )
    return bench.inspection(path)


def inspection_of_xml(bench: Bench, name: str) -> Ran:
    """As EPU writes, with an external entity besides."""
    path = bench.own / "FoilHole.xml"
    path.write_text(
        f'<?xml version="1.0"?>\n<!DOCTYPE m [<!ENTITY e SYSTEM "file://{name}"><!ENTITY f SYSTEM "{name}">]>\n'
        f"<MicroscopeImage><uniqueID>&e;&f;</uniqueID><Path>{name}</Path></MicroscopeImage>\n"
    )
    return bench.inspection(path)


def blob() -> np.ndarray:
    line = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    return np.exp(-(x**2 + y**2 + z**2) / 30).astype(np.float32)


READERS: dict[str, Callable[[Bench, str], Ran]] = {
    reader.__name__: reader
    for reader in (
        import_micrographs, import_micrographs_others, import_particles, import_particles_others, import_particles_cs,
        import_particles_cs_micrographs, import_coordinates, edit_picks, ctf, curate, pick, extract, extract_others,
        class2d, abinitio, refine, select2d, compare_truth, postprocess, previews_of_micrographs, previews_of_spectra,
        inspection_of_star, inspection_of_cs, inspection_of_mdoc, inspection_of_xml,
    )
}  # fmt: skip
# Readers that look at the file that the table names in its second row.
FOLLOWING = {
    "import_micrographs", "import_particles", "import_particles_cs", "import_coordinates", "ctf", "pick", "extract",
    "class2d", "abinitio", "refine", "previews_of_micrographs",
}  # fmt: skip
SETTING_ASIDE = {
    "import_micrographs",
    "import_particles",
    "import_particles_cs",
    "import_coordinates",
    "extract",
    "previews_of_micrographs",
}
# Names that are no way out: they stay below the table's folder and lead to nothing.
INSIDE = {"percent", "backslash", "unicode-dots", "section"}
UNUSABLE = {"nul", "long"}
# The others take minutes together.
QUICK = {(reader, "relative") for reader in READERS if reader != "postprocess"} | {
    (reader, "link")
    for reader in ("import_particles_cs", "pick", "extract", "class2d", "previews_of_spectra")
}
IMAGES = {"import_particles", "import_particles_cs", "class2d", "abinitio", "refine"}


@pytest.fixture(autouse=True)
def unrestricted_afterwards() -> Iterator[None]:
    yield
    restrict_names(None)


def run_case(
    tmp_path: Path, reader: str, form: str, target: str, monkeypatch, capfd
) -> tuple[Ran, list[str]]:
    bench = Bench(tmp_path / target, capfd)
    name = FORMS[form](bench.world, f"{target}.{'mrcs' if reader in IMAGES else 'mrc'}")
    with watched(bench.world, monkeypatch) as seen:
        ran = READERS[reader](bench, name)
    assert seen.paths == [], f"looked at outside: {seen.paths[:5]}"
    traces = traces_of_the_secret([bench.out.parent], [ran.said, *ran.exceptions.values()])
    assert traces == []

    def compared(text: str) -> str:
        return text.replace(str(bench.world.home), "").replace(ABSENT, SECRET)

    # Which progress is told depends on the clock.
    said = "\n".join(line for line in ran.said.splitlines() if '"event": "progress"' not in line)
    exceptions = {compared(item): compared(reason) for item, reason in ran.exceptions.items()}
    files = sorted(compared(str(path)) for path in bench.out.rglob("*"))
    return Ran(compared(said), compared(ran.refused), exceptions), files


CASES = [
    pytest.param(
        reader, form, id=f"{reader}-{form}", marks=() if (reader, form) in QUICK else pytest.mark.slow
    )
    for reader in READERS
    for form in FORMS
]


@pytest.mark.parametrize(("reader", "form"), CASES)
def test_nothing_of_an_outside_file_comes_back(tmp_path, monkeypatch, capfd, reader, form):
    there, files = run_case(tmp_path, reader, form, SECRET, monkeypatch, capfd)
    absent, files_of_absent = run_case(tmp_path, reader, form, ABSENT, monkeypatch, capfd)
    assert there == absent
    assert files == files_of_absent
    # The mark is cryoSPARC's; in a STAR file it is a letter of a name.
    leads_out = form not in INSIDE | UNUSABLE and (form != "marked" or reader == "import_particles_cs")
    if reader in FOLLOWING and leads_out:
        told = there.refused if reader not in SETTING_ASIDE else next(iter(there.exceptions.values()))
        assert REFUSED in told
        assert "in row 2" in told or "in row 1" in told
        if reader in SETTING_ASIDE:
            assert there.refused == ""
            assert len(there.exceptions) == 1


def test_there_are_three_hundred_tables_and_every_job_type_that_reads_tables():
    kinds = {"micrograph_files", "micrographs", "particle_files", "particles", "picks", "truth", "folder"}
    reading = {name for name in job_type_names() if kinds & {one.kind for one in load_job_type(name).inputs}}
    assert reading <= set(READERS)
    assert len(CASES) >= 300


@pytest.mark.parametrize("reader", ["import_micrographs", "import_particles", "extract"])
def test_a_table_of_outside_names_only_is_refused(tmp_path, monkeypatch, capfd, reader):
    bench = Bench(tmp_path, capfd)
    outside = f"../../other/files/{SECRET}.mrc"
    rows = {
        "rlnMicrographName": [outside] * 2, "rlnImageName": [f"1@{outside}s", f"2@{outside}s"],
        "rlnCoordinateX": 48.0, "rlnCoordinateY": 48.0, **FIT,
    }  # fmt: skip
    table = "micrographs" if reader == "import_micrographs" else "particles"
    star = put(bench.own / "t.star", table, "", rows)
    parameters = {"box_size_px": BOX} if reader == "extract" else {}
    with watched(bench.world, monkeypatch) as seen:
        ran = bench.job(reader, {"input": star}, **parameters)
    assert seen.paths == []
    assert "in row 1 names a file outside the inputs of this job" in ran.refused


@pytest.mark.parametrize("target", [SECRET, ABSENT])
def test_images_in_a_folder_of_links_are_read_below_the_inputs_only(tmp_path, monkeypatch, capfd, target):
    """A link in a dataset that leads out counts as nothing; the platform's own links to the dataset are followed."""
    bench = Bench(tmp_path, capfd)
    links = bench.world.home / "attempts" / "a" / "inputs" / "input"
    links.mkdir(parents=True)
    (links / "sub__good.mrc").symlink_to(bench.own / "good.mrc")
    (links / "out.mrc").symlink_to(bench.own / f"{target}_link.mrc")
    (links / "straight.mrc").symlink_to(bench.world.other / f"{target}.mrc")
    with watched(bench.world, monkeypatch) as seen:
        ran = bench.job("import_micrographs", {"input": links}, voltage_kv=300.0, spherical_aberration_mm=2.7,
                        amplitude_contrast=0.1)  # fmt: skip
    assert seen.paths == []
    assert ran.refused == ""
    assert json.loads((bench.out / "metrics.json").read_text())["micrographs"] == 1

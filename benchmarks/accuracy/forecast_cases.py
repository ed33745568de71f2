"""Sixty small jobs of all kinds, from seconds to a minute, for the benchmark of forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MADE_UP = "procedural"


@dataclass(frozen=True)
class Case:
    """One job. Its inputs are words, or files of jobs before it: ``KEY/FILE``, or ``KEY`` for the whole folder."""

    key: str
    job_type: str
    inputs: Mapping[str, str]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1


def _maps() -> list[Case]:
    sizes: dict[str, dict[str, Any]] = {
        "map_c1": {"mass_kda": 150.0, "pixel_size_angstrom": 2.4, "box_size_px": 96},
        "map_d2": {"symmetry": "D2", "mass_kda": 300.0, "pixel_size_angstrom": 1.8, "box_size_px": 128},
        "map_o": {"symmetry": "O", "pixel_size_angstrom": 3.0, "box_size_px": 72},
        "map_large": {"symmetry": "C4", "pixel_size_angstrom": 1.2, "box_size_px": 240},
    }
    return [Case(key, "simulate_map", {"model": MADE_UP}, given) for key, given in sizes.items()]


def _micrographs() -> list[Case]:
    few = {"micrographs": 5, "width_px": 1024, "height_px": 1024, "particles_per_micrograph": 40}
    many = {"micrographs": 16, "width_px": 900, "height_px": 1200, "particles_per_micrograph": 50}
    large = {"micrographs": 3, "width_px": 2400, "height_px": 2400, "particles_per_micrograph": 120}
    movies = {"micrographs": 2, "width_px": 800, "height_px": 800, "frames": 10}
    simulated = [
        Case("mics_few", "simulate_micrographs", {"map": "map_c1/map.mrc"}, few),
        Case("mics_many", "simulate_micrographs", {"map": "map_o/map.mrc"}, many),
        Case("mics_large", "simulate_micrographs", {"map": "map_d2/map.mrc"}, large),
        Case("movies", "simulate_micrographs", {"map": "map_c1/map.mrc"}, movies),
    ]
    optics = {"voltage_kv": 300.0, "spherical_aberration_mm": 2.7, "amplitude_contrast": 0.1}
    imported = [
        Case(f"import_{size}", "import_micrographs", {"input": f"mics_{size}/micrographs/*.mrc"}, optics)
        for size in ("few", "many", "large")
    ]
    return simulated + imported


def _listed(size: str) -> dict[str, str]:
    return {"input": f"{size}/micrographs.star"}


def _optics_and_picks() -> list[Case]:
    few, many, large = (_listed(f"import_{size}") for size in ("few", "many", "large"))
    seen_few, seen_many, seen_large = (_listed(f"ctf_{size}") for size in ("few", "many", "large"))
    small, round_one, long_one = 110.0, 160.0, 130.0
    by_map = {**seen_few, "reference": "map_c1/map.mrc"}
    by_classes = {**seen_many, "reference": "classes_picked/classes.mrcs"}
    of_others = {"input": "pick_many/picks.star", "micrographs": "ctf_many/micrographs.star"}
    templates = {"method": "template", "plot_count": 2}
    return [
        Case("ctf_few", "ctf", few, {"resolution_max_angstrom": 7.0}),
        Case("ctf_many", "ctf", many, {"resolution_max_angstrom": 8.0}),
        Case("ctf_large", "ctf", large, {"resolution_max_angstrom": 5.0}),
        Case("ctf_small_spectrum", "ctf", large, {"resolution_max_angstrom": 6.0, "spectrum_size_px": 256}),
        Case("ctf_phase_plate", "ctf", few, {"resolution_max_angstrom": 7.0, "phase_shift_max_deg": 120.0}),
        Case("curate_few", "curate", seen_few),
        Case("curate_many", "curate", seen_many),
        Case("pick_few", "pick", seen_few, {"particle_diameter_angstrom": small}),
        Case("pick_many", "pick", seen_many, {"particle_diameter_angstrom": round_one}),
        Case("pick_large", "pick", seen_large, {"particle_diameter_angstrom": long_one, "plot_count": 1}),
        Case("pick_by_map", "pick", by_map, {"particle_diameter_angstrom": small, **templates}),
        Case("pick_by_classes", "pick", by_classes, {"particle_diameter_angstrom": round_one, **templates}),
        Case("coordinates", "import_coordinates", of_others, {"particle_diameter_angstrom": round_one}),
        Case("extract_few", "extract", {"input": "pick_few/picks.star"}, {"box_size_px": 96}),
        Case(
            "extract_many",
            "extract",
            {"input": "pick_many/picks.star"},
            {"box_size_px": 96, "output_box_size_px": 64},
        ),
        Case("extract_large", "extract", {"input": "pick_large/picks.star"}, {"box_size_px": 200}),
        Case("extract_again", "extract", {"input": "selected/particles.star"}, {"box_size_px": 72}),
        Case(
            "extract_noise",
            "extract",
            {"input": "pick_many/picks.star"},
            {"box_size_px": 72, "noise_boxes": 400, "particle_diameter_angstrom": round_one},
        ),
    ]


def _particles() -> list[Case]:
    def simulated(key: str, of: str, **given: Any) -> Case:
        return Case(key, "simulate_particles", {"map": f"{of}/map.mrc"}, given)

    return [
        simulated("parts_c1", "map_c1", particles=1200, snr=0.2),
        simulated("parts_d2", "map_d2", particles=600, snr=0.2),
        simulated("parts_o", "map_o", particles=2500, snr=0.1, junk_share=0.1),
        simulated("parts_few", "map_o", particles=300, snr=0.3),
        simulated("parts_large", "map_large", particles=150, snr=0.3),
    ]


def _classes() -> list[Case]:
    def sorted_by(key: str, of: str, **given: Any) -> Case:
        return Case(key, "class2d", {"input": f"{of}/particles.star"}, given)

    return [
        sorted_by("classes_picked", "extract_many", classes=10),
        sorted_by("classes_few", "parts_few", classes=5, online_updates=10),
        sorted_by("classes_c1", "parts_c1", classes=20, max_resolution_angstrom=12.0),
        sorted_by("classes_d2", "parts_d2", classes=12, max_resolution_angstrom=8.0),
        sorted_by("classes_o", "parts_o", classes=30, max_resolution_angstrom=15.0, full_passes=1),
        sorted_by("classes_many", "parts_few", classes=50, max_resolution_angstrom=10.0),
        Case("selected", "select2d", {"input": "classes_picked/particles.star"}, {"min_score": 0.01}),
        Case("selected_c1", "select2d", {"input": "classes_c1/particles.star"}, {"min_score": 0.05}),
    ]


def _maps_of_particles() -> list[Case]:
    def start(key: str, of: str, **given: Any) -> Case:
        small: dict[str, Any] = {
            "updates": 30,
            "max_starts": 2,
            "first_batch": 60,
            "last_batch": 150,
            "passes": 1,
        }
        return Case(key, "abinitio", {"input": f"{of}/particles.star"}, small | given)

    def refined(key: str, of: str, reference: str, threads: int = 1, **given: Any) -> Case:
        inputs = {"input": f"{of}/particles.star", "reference": f"{reference}/map.mrc"}
        return Case(key, "refine", inputs, {"max_orientations": 8000, **given}, threads)

    def finished(key: str, of: str, **given: Any) -> Case:
        return Case(key, "postprocess", {"input": of}, given)

    return [
        start("start_o", "parts_few", symmetry="O"),
        start("start_c1", "parts_c1", passes=2),
        start("start_d2", "parts_d2", symmetry="D2", updates=20),
        start("start_two", "parts_few", classes=2, updates=20),
        refined("refined_o", "parts_few", "map_o", symmetry="O"),
        refined("refined_c1", "parts_c1", "map_c1", max_iterations=4),
        refined("refined_d2", "parts_d2", "map_d2", symmetry="D2", max_iterations=5),
        refined("refined_threads", "parts_few", "map_o", 2, symmetry="D2", max_iterations=4),
        finished("finished_o", "refined_o", symmetry="O"),
        finished("finished_c1", "refined_c1"),
        finished("finished_d2", "refined_d2", symmetry="D2"),
    ]


def _imports_and_comparisons() -> list[Case]:
    def compared(key: str, of: str, truth: str, true_map: str, symmetry: str) -> Case:
        inputs = {"input": of, "truth": f"{truth}/truth.star", "map": f"{true_map}/map.mrc"}
        return Case(key, "compare_truth", inputs, {"symmetry": symmetry})

    def laid(key: str, model: str, **given: Any) -> Case:
        inputs = {"map": "finished_o/map_sharpened.mrc", "model": f"map_o/{model}"}
        return Case(key, "map_to_model", inputs, {"symmetry": "O", **given})

    large = {"input": "parts_large/particles.star", "reference": "map_large/map.mrc"}
    return [
        Case("imported_o", "import_particles", {"input": "parts_o/particles.star"}),
        Case(
            "imported_d2",
            "import_particles",
            {"input": "parts_d2/particles.star"},
            {"invert_contrast": "yes"},
        ),
        compared("compared_o", "refined_o", "parts_few", "map_o", "O"),
        compared("compared_d2", "refined_d2", "parts_d2", "map_d2", "D2"),
        laid("model_o", "model.cif"),
        laid("model_map", "map.mrc", search_hand=False),
        Case(
            "refined_large",
            "refine",
            large,
            {"symmetry": "C4", "max_iterations": 2, "max_orientations": 8000},
        ),
    ]


def all_cases() -> list[Case]:
    """Each after those whose results it reads."""
    listed = [
        *_maps(),
        *_micrographs(),
        *_optics_and_picks(),
        *_particles(),
        *_classes(),
        *_maps_of_particles(),
        *_imports_and_comparisons(),
    ]
    return _in_order(listed)


def needs(case: Case) -> set[str]:
    """Keys of the jobs whose results it reads."""
    return {text.split("/")[0] for text in case.inputs.values() if text != MADE_UP}


def _in_order(cases: list[Case]) -> list[Case]:
    ordered: list[Case] = []
    waiting = list(cases)
    while waiting:
        made = {case.key for case in ordered}
        ready = [case for case in waiting if needs(case) <= made]
        assert ready, f"circle of cases: {[case.key for case in waiting]}"
        ordered += ready
        waiting = [case for case in waiting if case not in ready]
    return ordered

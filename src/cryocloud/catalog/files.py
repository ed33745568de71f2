"""What the files are that jobs leave."""

from __future__ import annotations

import re

MEANINGS = (
    (r"map\.mrc", "the density map"),
    (r"half[12]\.mrc", "half map, unfiltered: made from one half of the particles"),
    (r"map_sharpened\.mrc", "the map, sharpened and filtered to its resolution"),
    (r"map_sharpened_masked\.mrc", "the sharpened map inside its mask"),
    (r"map_aligned\.mrc", "the map, laid over the truth"),
    (r"model_placed\.mrc", "the atomic model as density, where it fits best"),
    (r"mask\.mrc", "the mask: 1 inside the particle, soft edge, 0 outside"),
    (r"volume_class\d+\.mrc", "map of one class"),
    (r"particles\.star", "list of the particles, for RELION 3.1 and later"),
    (r"particles\.mrcs", "images of the particles"),
    (r"micrographs\.star", "list of the micrographs, for RELION 3.1 and later"),
    (r"movies\.star", "list of the movies, for RELION 3.1 and later"),
    (r"picks\.star", "positions and scores of the picked particles"),
    (r"classes\.mrcs", "class averages"),
    (r"classes\.star", "size, resolution and score of each class"),
    (r"fsc\.star", "Fourier shell correlation curves"),
    (r"edits\.json", "what a person changed by hand"),
    (r"selection\.csv", "which classes were kept, and why"),
    (r"(excluded|rejected)\.(star|csv)", "what was left out, and why"),
    (r"exceptions\.csv", "items that could not be used, each with its reason"),
    (r"truth\.(star|json)", "the true values of a simulation"),
    (r"micrograph_envelopes\.star", "how much signal each micrograph keeps"),
    (r"model\.(pdb|cif)", "atomic model"),
    (r"validation\.json", "how well the model fits"),
    (r"job\.json", "type, parameters, inputs, seed, version and cost of the job: enough to repeat it"),
    (r"metrics\.json", "the key numbers"),
    (r"log\.txt", "the log"),
    (r"spectra/.+\.mrc", "power spectrum beside its fitted model"),
    (r"plots/.+\.png", "plot"),
)


def meaning_of(path: str) -> str:
    """In a few words, for a name in a job's folder; empty for one that is not known."""
    return next((meaning for pattern, meaning in MEANINGS if re.fullmatch(pattern, path)), "")

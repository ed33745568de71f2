"""Previews: made by the sandboxed process from real files, true to them, and never from files elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cryocloud.engine.io.mrc import open_mrc, read_mrc, read_mrc_header, write_mrc
from cryocloud.engine.io.star import write_star
from cryocloud.jobs.result_previews.maps import fourier_cropped
from cryocloud.web.core.models import Event
from cryocloud.web.core.places import dataset_folder
from cryocloud.web.data.models import Dataset
from cryocloud.web.results.files import job_folder, preview_folder_of
from cryocloud.web.results.tasks import make_previews
from cryocloud.web.results.viewers import preview_index, viewers_of
from web.results import examples


def previewed(member, job_type, write, **options):
    job = examples.publish(member.organization, member.user, job_type, write, **options)
    make_previews.func(job.pk, organization_id=job.organization_id)
    return job, preview_index(job)


def dataset_of(member):
    dataset = Dataset.unscoped.create(
        organization=member.organization, name="micrographs", created_by_id=member.user.pk
    )
    folder = dataset_folder(dataset.pk)
    folder.mkdir(parents=True)
    return dataset, folder


def test_cropping_keeps_the_density_where_it_is():
    # A Gaussian of 6 px has no amplitude beyond the cropped Nyquist frequency, so its samples stay exact.
    full = examples.blob(96, center=(0.6, 0.5, 0.4), sigma_px=8)
    cropped = fourier_cropped(full, 48)
    assert cropped.shape == (48, 48, 48)
    np.testing.assert_allclose(cropped, full[::2, ::2, ::2], atol=1e-4)


def test_cropping_keeps_proportions_and_leaves_small_maps_alone():
    small = np.random.default_rng(0).normal(size=(10, 12, 14)).astype(np.float32)
    np.testing.assert_array_equal(fourier_cropped(small, 48), small)
    assert fourier_cropped(np.ones((52, 100, 200), np.float32), 100).shape == (26, 50, 100)
    np.testing.assert_allclose(fourier_cropped(np.full((50, 100, 200), 7.0), 100), 7.0, rtol=1e-5)


def test_a_map_becomes_a_small_map_of_the_same_place_and_shape(owner):
    density = examples.blob(256, center=(0.55, 0.5, 0.45), sigma_px=25)

    def write(folder):
        write_mrc(folder / "map.mrc", density, 1.1, origin_xyz_angstrom=(10.0, -20.0, 30.0))

    job, index = previewed(owner, "refine", write)
    (facts,) = index["maps"]
    small = preview_folder_of(job) / facts["file"]
    header = read_mrc_header(small)
    assert header.mode == 1
    assert header.shape_zyx == (192, 192, 192)
    assert header.pixel_size_angstrom == pytest.approx(1.1 * 256 / 192, rel=1e-5)
    assert header.origin_xyz_angstrom == (10.0, -20.0, 30.0)
    voxels = np.asarray(open_mrc(small), np.float64)
    peak = np.array(np.unravel_index(voxels.argmax(), voxels.shape)) / 192
    np.testing.assert_allclose(peak, (0.45, 0.5, 0.55), atol=1 / 192)
    assert facts["maximum"] == pytest.approx(1.0, abs=2e-3)
    assert facts["true_shape_zyx"] == [256, 256, 256]
    above = (voxels * facts["maximum"] / voxels.max() > facts["level"]).mean()
    assert above == pytest.approx(0.02, rel=0.1)
    slices = np.frombuffer((preview_folder_of(job) / facts["slices"]["file"]).read_bytes(), np.uint8)
    assert facts["slices"]["shape_zyx"] == [128, 128, 128]
    assert slices.reshape(128, 128, 128)[round(0.45 * 128), 64, round(0.55 * 128)] == 255


def test_a_refinement_offers_maps_curves_and_orientations(owner):
    job, index = previewed(owner, "refine", examples.write_refine, parameters={"symmetry": "D2"})
    assert [link.name for link in viewers_of(job)] == ["map", "slices", "curves", "orientations", "mask"]
    assert [one["name"] for one in index["maps"]] == ["map", "half1", "half2", "mask"]
    assert next(one for one in index["maps"] if one["name"] == "mask")["level"] == 0.5
    (chart,) = index["charts"]
    assert chart["thresholds"] == [0.143, 0.5]
    assert len(chart["x"]) == len(chart["series"][0]["y"]) == examples.EDGE_PX // 2
    found = index["orientations"]
    assert found["particles"] == 3000
    assert sum(found["counts"]) == 4 * 3000
    # Random directions over 1152 equal cells: 10.4 a cell, none beyond eight deviations.
    assert max(found["counts"]) < 10.4 + 8 * 10.4**0.5 * 2
    assert index["problems"] == []


def test_views_along_z_are_counted_at_the_poles_of_their_symmetry(owner):
    def write(folder):
        table = pd.DataFrame(
            {"rlnAngleRot": [10.0, 20.0], "rlnAngleTilt": [0.0, 5.0], "rlnAnglePsi": [0.0, 0.0]}
        )
        write_star(folder / "particles.star", {"particles": table})

    for symmetry, rows in (("C1", {0}), ("D2", {0, 23}), ("O", {0, 11, 12, 23})):
        _, index = previewed(owner, "refine", write, parameters={"symmetry": symmetry})
        counts = np.reshape(index["orientations"]["counts"], (24, 48))
        assert set(np.flatnonzero(counts.sum(axis=1))) <= rows
        assert counts[0].sum() > 0


def test_classes_become_tiles_with_their_numbers(owner):
    job, index = previewed(owner, "class2d", examples.write_class2d)
    classes = index["classes"]
    with Image.open(preview_folder_of(job) / classes["file"]) as sheet:
        assert sheet.size == (7 * 128, 128)
        tiles = np.asarray(sheet)
    assert tiles[64, 64::128].tolist() == [255] * 7
    assert classes["rows"][2] == {
        "number": 3,
        "share": pytest.approx(5 / 28, abs=1e-6),
        "resolution_angstrom": 17.0,
        "score": 0.375,
        "particles": 500,
    }


def test_a_selection_shows_the_classes_it_selected_from(owner):
    source, _ = previewed(owner, "class2d", examples.write_class2d)

    def write(folder):
        (folder / "selection.csv").write_text("class,kept,reason\n1,no,score 0.12\n2,yes,score 0.25\n")

    inputs = {"input": f"job:{source.pk}/particles.star"}
    _, index = previewed(owner, "select2d", write, project=source.project, inputs=inputs)
    rows = index["classes"]["rows"]
    assert rows[0]["kept"] is False
    assert rows[0]["reason"] == "score 0.12"
    assert rows[1]["kept"] is True
    assert rows[1]["particles"] == 600


def test_picks_lie_on_what_they_mark(owner):
    dataset, folder = dataset_of(owner)
    examples.write_micrographs(folder, count=2, shape=(1500, 2000))
    image = read_mrc(folder / "mic_0.mrc")[0].copy()
    image[590:610, 1190:1210] = -60
    write_mrc(folder / "mic_0.mrc", image, 1.5)
    names = [f"../../../datasets/{dataset.pk}/files/mic_{n}.mrc" for n in range(2)]

    def write(out):
        examples.write_picks(out, names)
        text = (out / "picks.star").read_text().replace("219.5", "1199.5").replace("119.5", "599.5")
        (out / "picks.star").write_text(text)

    job, index = previewed(owner, "pick", write, inputs={"input": f"dataset:{dataset.pk}"})
    assert index["micrographs"]["all"] == 2
    first = index["micrographs"]["shown"][0]
    assert (first["name"], first["picks"]) == ("mic_0.mrc", 3)
    facts = json.loads((preview_folder_of(job) / first["file"]).read_text())
    x, y, score = facts["picks"][0]
    assert score == 0.9
    with Image.open(preview_folder_of(job) / facts["view"]) as picture:
        assert picture.size == (1024, 768) == (facts["view_width_px"], facts["view_height_px"])
        gray = np.asarray(picture.convert("L"), np.float32)
    row, column = round(y), round(x)
    assert gray[row - 2 : row + 3, column - 2 : column + 3].mean() < 40
    assert gray.mean() > 100
    assert facts["ctf"]["defocus_u_angstrom"] == 15000
    assert facts["ctf"]["voltage_kv"] == 300


def test_a_ctf_job_shows_its_spectra(owner):
    dataset, folder = dataset_of(owner)
    examples.write_micrographs(folder, count=2)
    names = [f"../../../datasets/{dataset.pk}/files/mic_{n}.mrc" for n in range(2)]
    inputs = {"input": f"dataset:{dataset.pk}"}
    job, index = previewed(owner, "ctf", lambda out: examples.write_ctf(out, names), inputs=inputs)
    assert [link.name for link in viewers_of(job)] == ["curves", "micrographs", "curation"]
    facts = json.loads((preview_folder_of(job) / index["micrographs"]["shown"][1]["file"]).read_text())
    assert facts["spectrum"]["edge_px"] == 256
    with Image.open(preview_folder_of(job) / facts["spectrum"]["file"]) as picture:
        assert picture.size == (256, 256)


@pytest.mark.parametrize("way", ["absolute", "relative", "link"])
def test_a_list_that_names_files_of_others_gets_nothing_of_them(owner, stranger, way, tmp_path):
    foreign, folder = dataset_of(stranger)
    examples.write_micrographs(folder, count=1)
    own, own_folder = dataset_of(owner)
    target = folder / "mic_0.mrc"
    (own_folder / "link.mrc").symlink_to(target)
    name = {
        "absolute": str(target),
        "relative": f"../../../datasets/{foreign.pk}/files/mic_0.mrc",
        "link": f"../../../datasets/{own.pk}/files/link.mrc",
    }[way]
    inputs = {"input": f"dataset:{own.pk}"}
    job, index = previewed(owner, "pick", lambda out: examples.write_picks(out, [name]), inputs=inputs)
    assert index["micrographs"]["shown"] == []
    assert "outside the inputs of this job" in index["problems"][0]["reason"]
    assert viewers_of(job) == []
    assert [path.name for path in preview_folder_of(job).iterdir()] == ["index.json"]


def test_damaged_and_hostile_files_are_told_and_the_rest_is_shown(owner):
    def write(folder):
        examples.write_refine(folder)
        whole = (folder / "half1.mrc").read_bytes()
        (folder / "half1.mrc").write_bytes(whole[:5000])
        (folder / "half2.mrc").write_bytes(b"\xff" * 1024)
        (folder / "mask.mrc").write_bytes(b"")
        (folder / "fsc.star").write_text("data_fsc\nloop_\n_rlnResolution #1\n_x #2\n1 2\n1\n")
        (folder / "particles.star").write_bytes(b"\x00\xff" * 999)
        header = bytearray(whole[:1024])
        header[:12] = np.array([100000, 100000, 100000], "<i4").tobytes()
        (folder / "volume_class1.mrc").write_bytes(bytes(header) + b"short")

    job, index = previewed(owner, "refine", write)
    assert [one["name"] for one in index["maps"]] == ["map"]
    told = {problem["file"] for problem in index["problems"]}
    assert told == {"half1.mrc", "half2.mrc", "mask.mrc", "volume_class1.mrc", "fsc.star", "particles.star"}
    assert {link.name for link in viewers_of(job)} == {"map", "slices", "mask"}


def test_values_that_are_no_numbers_do_not_spoil_a_map(owner):
    def write(folder):
        density = examples.blob()
        density[0, 0, :3] = (np.nan, np.inf, -np.inf)
        write_mrc(folder / "map.mrc", density, 2.0)

    _, index = previewed(owner, "refine", write)
    assert index["maps"][0]["maximum"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("edge_px", [64, 150, 200])
def test_densities_too_large_to_compute_with_are_told(owner, edge_px):
    def write(folder):
        density = np.full((4, edge_px, edge_px), 3.4e38, np.float32)
        density[::2] *= -1
        write_mrc(folder / "map.mrc", density, 2.0)

    _, index = previewed(owner, "refine", write)
    assert index["maps"] == []
    assert "cannot be shown" in next(one["reason"] for one in index["problems"] if one["file"] == "map.mrc")


def test_previews_are_made_anew_as_a_whole_and_told_to_open_pages(owner):
    job, first = previewed(owner, "refine", examples.write_refine)
    (job_folder(job) / "map.mrc").unlink()
    make_previews.func(job.pk, organization_id=job.organization_id)
    assert not (preview_folder_of(job) / "map.mrc").exists()
    assert len(preview_index(job)["maps"]) == len(first["maps"]) - 1
    beside = {path.name for path in preview_folder_of(job).parent.iterdir()}
    assert beside == {".previews", job_folder(job).name}
    event = Event.objects.filter(topic=f"job:{job.pk}").last()
    assert (event.kind, event.content["id"]) == ("previews", job.pk)


def test_a_job_that_is_gone_or_failed_is_no_error(owner):
    make_previews.func("a" * 26, organization_id="b" * 26)
    job = examples.publish(owner.organization, owner.user, "refine", examples.write_refine)
    job.state = "failed"
    job.save()
    make_previews.func(job.pk, organization_id=job.organization_id)
    assert not preview_folder_of(job).exists()


def test_a_link_that_the_tool_leaves_is_not_written_through(owner, home, monkeypatch):
    job = examples.publish(owner.organization, owner.user, "refine", examples.write_refine)
    (home / "secret-key").write_text("kept")

    def hostile(module, order, **_):
        index = Path(order["out"]) / "index.json"
        index.unlink(missing_ok=True)
        index.symlink_to(home / "secret-key")
        return {}

    monkeypatch.setattr("cryocloud.web.results.tasks.run_tool", hostile)
    make_previews.func(job.pk, organization_id=job.organization_id)
    assert (home / "secret-key").read_text() == "kept"
    assert preview_index(job) == {"problems": [], "viewers": []}


def test_micrographs_without_picks_are_shown_with_the_others_and_all_scores_are_kept(owner):
    dataset, folder = dataset_of(owner)
    examples.write_micrographs(folder)
    names = [f"../../../datasets/{dataset.pk}/files/mic_{number}.mrc" for number in range(3)]
    given = {"input": f"dataset:{dataset.pk}"}
    ctf, judged = previewed(owner, "ctf", lambda out: examples.write_ctf(out, names), inputs=given)
    listed = {"input": f"job:{ctf.pk}/micrographs.star"}
    job, index = previewed(
        owner,
        "pick",
        lambda out: examples.write_picks(out, names[1:2]),
        project=ctf.project,
        inputs=listed,
    )
    shown = [(one["name"], one["picks"]) for one in index["micrographs"]["shown"]]
    assert shown == [("mic_0.mrc", 0), ("mic_1.mrc", 3), ("mic_2.mrc", 0)]
    previews = preview_folder_of(job)
    assert json.loads((previews / index["micrographs"]["scores"]["file"]).read_text()) == [0.2, 0.3, 0.9]
    assert max(Image.open(previews / index["micrographs"]["shown"][0]["thumb"]).size) == 192
    evidence = json.loads((preview_folder_of(ctf) / judged["curation"]["file"]).read_text())
    assert evidence["names"] == ["mic_0.mrc", "mic_1.mrc", "mic_2.mrc"]
    resolution = next(one for one in evidence["criteria"] if one["name"] == "fit_resolution_angstrom")
    assert resolution["values"] == [4.2, 4.2, 4.2]
    limits = [resolution["lower_parameter"], resolution["upper_parameter"]]
    assert limits == [None, "fit_resolution_max_angstrom"]

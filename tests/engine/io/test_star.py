"""STAR files: nothing read or written loses a value."""

from __future__ import annotations

import shutil
import string
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import starfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.star import read_star, write_star


def read_text(tmp_path: Path, text: str) -> dict[str, pd.DataFrame]:
    (tmp_path / "in.star").write_text(text)
    return read_star(tmp_path / "in.star")


def round_trip(tmp_path: Path, table: pd.DataFrame) -> pd.DataFrame:
    write_star(tmp_path / "out.star", {"particles": table})
    return read_star(tmp_path / "out.star")["particles"]


def test_loop_and_pairs(tmp_path):
    blocks = read_text(
        tmp_path,
        "# version 30001\n\ndata_general\n\n_rlnFinalResolution  7.25\n_rlnName 'two words'\n\n"
        "data_particles\n\nloop_\n_rlnImageName #1\n_rlnDefocusU #2 [Angstrom]\n_rlnClassNumber\n"
        " 000001@a.mrcs  15301.10 3\n 000002@a.mrcs  -1.5e2 4\n\n",
    )
    assert list(blocks) == ["general", "particles"]
    assert blocks["general"].attrs["loop"] is False
    assert blocks["general"].to_dict("records") == [{"rlnFinalResolution": 7.25, "rlnName": "two words"}]
    particles = blocks["particles"]
    assert particles.attrs["loop"] is True
    assert particles["rlnImageName"].tolist() == ["000001@a.mrcs", "000002@a.mrcs"]
    assert particles["rlnDefocusU"].tolist() == [15301.1, -150.0]
    assert particles["rlnClassNumber"].dtype == np.int64


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["1", "2"], [1, 2]),
        (["1", "2.0"], [1.0, 2.0]),
        (["-0.5", "1e-9", "nan", "inf"], [-0.5, 1e-9, np.nan, np.inf]),
        (["001", "002"], ["001", "002"]),
        (["+7"], ["+7"]),
        (["1_0", "2_0"], ["1_0", "2_0"]),
        (["1_0.5"], ["1_0.5"]),
        (["1", "2b"], ["1", "2b"]),
        (["99999999999999999999"], ["99999999999999999999"]),
        (["0x10", "1d5"], ["0x10", "1d5"]),
        (["None", "null"], ["None", "null"]),
        (["True", "False"], ["True", "False"]),
        (["[1.5,2]", "[0,0]"], ["[1.5,2]", "[0,0]"]),
    ],
)
def test_only_plain_numbers_become_numbers(tmp_path, values, read):
    text = "data_a\nloop_\n_someColumn\n" + "\n".join(values)
    column = read_text(tmp_path, text)["a"]["someColumn"]
    np.testing.assert_array_equal(column.to_numpy(), np.array(read))


def test_names_stay_text_even_if_they_look_like_numbers(tmp_path):
    blocks = read_text(tmp_path, "data_optics\nloop_\n_rlnOpticsGroup\n_rlnOpticsGroupName\n1 1\n2 2\n")
    assert blocks["optics"]["rlnOpticsGroupName"].tolist() == ["1", "2"]
    assert blocks["optics"]["rlnOpticsGroup"].tolist() == [1, 2]


def test_name_among_many_numbers(tmp_path):
    """The reader works in chunks of rows: a name in the last one makes the whole column text."""
    rows = [f"{number} {number}" for number in range(70_000)]
    table = read_text(tmp_path, "data_\nloop_\n_a\n_b\n" + "\n".join([*rows, "x 70000"]))[""]
    assert table["a"].tolist() == [*map(str, range(70_000)), "x"]
    assert table["b"].dtype == np.int64


def test_quotes_and_comments(tmp_path):
    table = read_text(
        tmp_path,
        "data_job # a comment\n\nloop_ # another\n_rlnJobOptionVariable #1\n_rlnJobOptionValue #2\n"
        'fn_in ""\nqueue "two words" # comment\nother \'single "double" inside\'\n# a comment\ninner a"b\nprime 5\'\n',
    )
    assert table["job"]["rlnJobOptionValue"].tolist() == [
        "",
        "two words",
        'single "double" inside',
        'a"b',
        "5'",
    ]


def test_empty_loop_and_empty_block(tmp_path):
    blocks = read_text(tmp_path, "data_empty\n\ndata_particles\nloop_\n_rlnImageName\n_rlnDefocusU\n\n")
    assert len(blocks["empty"].columns) == 0
    assert blocks["particles"].shape == (0, 2)
    write_star(tmp_path / "out.star", blocks)
    assert {name: table.shape for name, table in read_star(tmp_path / "out.star").items()} == {
        "empty": (0, 0),
        "particles": (0, 2),
    }


def test_windows_line_ends_and_tabs(tmp_path):
    (tmp_path / "in.star").write_bytes(b"data_a\r\nloop_\r\n_x #1\r\n_y #2\r\n1\t2.5\r\n3\t4.5\r\n")
    table = read_star(tmp_path / "in.star")["a"]
    assert table.to_numpy().tolist() == [[1.0, 2.5], [3.0, 4.5]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_p\nloop_\n_a\n_b\n1 2\n3\n", r"line 6: 1 values for the 2 columns of data_p.*cut off"),
        ("data_p\nloop_\n_a\n_b\n1 2\n3 4 5\n", r"line 6: 3 values"),
        ("data_p\nloop_\n_a\n_a\n1 2\n", r"line 4: column _a twice"),
        ("data_p\nloop_\n_a\n1\n\ndata_p\nloop_\n_b\n2\n", r"line 6: second block data_p"),
        ("data_p\nloop_\n_a\n1\nloop_\n_b\n2\n", r"line 5: second table"),
        ("data_p\n_a two words\n", r"line 2: _a has 2 values"),
        ("data_p\n_a\n", r"line 2: _a has 0 values"),
        ("hello world\n", r"line 1: 'hello world' before the first data_ block"),
        ("", r"no data_ block"),
    ],
)
def test_damaged_files_are_refused_with_their_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_text(tmp_path, text)


def test_binary_and_missing_files(tmp_path):
    (tmp_path / "image.star").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="is not text"):
        read_star(tmp_path / "image.star")
    with pytest.raises(InputError, match="No such file"):
        read_star(tmp_path / "absent.star")


texts = st.text(string.ascii_letters + string.digits + " _#$@/.-+'\"[],;é", max_size=12).filter(
    lambda text: not ('"' in text and "'" in text)
)
floats = st.floats(allow_nan=False, allow_infinity=True)
integers = st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(texts, floats, integers), min_size=1, max_size=6))
def test_every_value_survives_a_round_trip(tmp_path, rows):
    names, decimals, wholes = zip(*rows, strict=True)
    table = pd.DataFrame(
        {
            "rlnSomeName": pd.Series(names, dtype="str"),
            "someDecimal": np.array(decimals),
            "someWhole": np.array(wholes, dtype=np.int64),
        }
    )
    read = round_trip(tmp_path, table)
    assert read["rlnSomeName"].tolist() == list(names)
    # Whole floats are written with a point or exponent, so they stay floats.
    np.testing.assert_array_equal(read["someDecimal"].to_numpy(dtype=np.float64), np.array(decimals))
    assert read["someWhole"].tolist() == list(wholes)


def test_six_decimals_where_exact(tmp_path):
    """RELION's own files have six decimals; others get as many as they need."""
    write_star(tmp_path / "o.star", {"p": pd.DataFrame({"a": [1.5, -20.123456], "b": [1 / 3, 2.0]})})
    rows = (tmp_path / "o.star").read_text().splitlines()[-3:-1]
    assert [row.split() for row in rows] == [["1.500000", "0.3333333333333333"], ["-20.123456", "2.0"]]


def test_float32_keeps_its_decimals(tmp_path):
    values = np.array([1.345, 2.5, 0.1], dtype=np.float32)
    assert round_trip(tmp_path, pd.DataFrame({"a": values}))["a"].tolist() == [1.345, 2.5, 0.1]


@pytest.mark.parametrize("value", ["two\nlines", "a 'b' \"c\" d", "bell\x07"])
def test_values_that_star_cannot_hold(tmp_path, value):
    with pytest.raises(InputError, match="column rlnSomeName"):
        write_star(tmp_path / "o.star", {"p": pd.DataFrame({"rlnSomeName": [value]})})
    assert not (tmp_path / "o.star").exists()


def test_missing_values_are_refused(tmp_path):
    with pytest.raises(InputError, match="column rlnSomeName has rows without a value"):
        write_star(tmp_path / "o.star", {"p": pd.DataFrame({"rlnSomeName": ["a", None]})})


def test_all_public_files_keep_all_columns_and_values(data_dir, tmp_path):
    files = sorted(data_dir.rglob("*.star"))
    assert len(files) > 50
    for path in files:
        blocks = read_star(path)
        write_star(tmp_path / "out.star", blocks)
        again = read_star(tmp_path / "out.star")
        assert list(again) == list(blocks), path
        for name, table in blocks.items():
            pd.testing.assert_frame_equal(again[name], table, check_exact=True, obj=f"{path} data_{name}")
            assert again[name].attrs == table.attrs


def test_all_public_files_agree_with_starfile(data_dir):
    """The same tables as another reader sees; it turns some names into numbers, so text is compared as text."""
    for path in sorted(data_dir.rglob("*.star")):
        ours = read_star(path)
        theirs = starfile.read(path, always_dict=True)
        for name, table in ours.items():
            if name not in theirs:
                assert table.empty, f"{path} data_{name}"
                continue
            other = theirs[name]
            other = pd.DataFrame([other]) if isinstance(other, dict) else other
            assert list(other.columns) == list(table.columns), f"{path} data_{name}"
            for label in table.columns:
                if table[label].dtype.kind in "if":
                    np.testing.assert_array_equal(
                        table[label], other[label].astype(float), err_msg=f"{path} {label}"
                    )
                elif other[label].dtype.kind not in "ifb":
                    expected = other[label].fillna("").astype(str).tolist()
                    assert [text.strip() for text in table[label]] == expected, f"{path} {label}"


def test_relion_reads_our_tables(tmp_path, relion):
    table = pd.DataFrame(
        {
            "rlnImageName": ["000001@p.mrcs", "000002@p.mrcs"],
            "rlnDefocusU": [15301.123456, -20.0],
            "rlnAngleRot": [1 / 3, 1e-9],
            "rlnClassNumber": [3, -1],
        }
    )
    write_star(tmp_path / "p.star", {"optics": pd.DataFrame({"rlnOpticsGroup": [1]}), "particles": table})
    run = subprocess.run(
        [shutil.which("relion_star_printtable"), "p.star", "data_particles", *table.columns],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [line.split() for line in run.stdout.splitlines() if line.strip()]
    assert [row[0] for row in rows] == table["rlnImageName"].tolist()
    numbers = np.array([[float(word) for word in row[1:]] for row in rows])
    np.testing.assert_array_equal(numbers, table.drop(columns="rlnImageName").to_numpy())


def test_writing_is_at_least_three_times_quicker_than_starfile(tmp_path):
    """Measured 7 to 9 times; three leaves room for a busy machine."""
    generator = np.random.default_rng(0)
    n = 20_000
    decimals = {f"rlnDecimal{i}": np.round(generator.normal(size=n) * 100, 6) for i in range(14)}
    wholes = {f"rlnWhole{i}": generator.integers(0, 1000, n) for i in range(5)}
    names = {
        f"rlnSome{i}Name": [f"{row:06d}@Extract/micrograph_{row % 50}.mrcs" for row in range(n)]
        for i in range(3)
    }
    table = pd.DataFrame(decimals | wholes | names)

    def cpu_s(write) -> float:
        begin_s = time.process_time()
        write()
        return time.process_time() - begin_s

    ours_s = min(cpu_s(lambda: write_star(tmp_path / "ours.star", {"particles": table})) for _ in range(2))
    theirs_s = cpu_s(lambda: starfile.write({"particles": table}, tmp_path / "theirs.star"))
    assert theirs_s > 3 * ours_s


def wide_star(path: Path, columns: int, *, rows: int = 1) -> Path:
    labels = "".join(f"_rlnColumn{number} #{number + 1}\n" for number in range(columns))
    path.write_text(f"data_wide\n\nloop_\n{labels}" + (" ".join(["1.5"] * columns) + "\n") * rows)
    return path


def shortest_read_s(path: Path) -> float:
    spent_s = []
    for _ in range(3):
        begin_s = time.process_time()
        read_star(path)
        spent_s.append(time.process_time() - begin_s)
    return min(spent_s)


def test_reading_costs_time_in_proportion_to_the_columns(tmp_path, monkeypatch):
    monkeypatch.setattr("cryocloud.engine.io.star.COLUMNS_MAX", 20_000)
    # Four times in proportion, sixteen times if each column looked at all others; a busy machine blurs the difference.
    quarter_s = shortest_read_s(wide_star(tmp_path / "quarter.star", 1_500))
    assert shortest_read_s(wide_star(tmp_path / "wide.star", 6_000)) < 10 * quarter_s


def test_sixty_thousand_columns_are_refused_at_once(tmp_path):
    wide = wide_star(tmp_path / "wide.star", 60_000)
    begin_s = time.process_time()
    with pytest.raises(InputError, match="more than 4,096 columns; remove"):
        read_star(wide)
    # Measured 0.05 s; 74 s before there was a bound.
    assert time.process_time() - begin_s < 1


def test_the_widest_table_that_is_read_takes_little_time(tmp_path):
    # Measured 0.3 s; of the 20 s that a file may take.
    assert shortest_read_s(wide_star(tmp_path / "wide.star", 4_096)) < 5


def test_too_many_tables_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("cryocloud.engine.io.star.TABLES_MAX", 3)
    with pytest.raises(InputError, match="line 10: more than 3 tables; split"):
        read_text(tmp_path, "".join(f"data_{number}\n_a 1\n\n" for number in range(4)))


def test_quotes_that_nobody_closes_cost_no_more_than_other_text(tmp_path):
    seconds = []
    for count in (10_000, 40_000):
        (tmp_path / "in.star").write_text("data_a\n\nloop_\n_a\n_b\n" + "\"a 'b " * count + "\n")
        begin_s = time.process_time()
        with pytest.raises(InputError, match=f"{2 * count} values for the 2 columns"):
            read_star(tmp_path / "in.star")
        seconds.append(time.process_time() - begin_s)
    assert seconds[1] < max(10 * seconds[0], 0.5)


def test_names_among_many_numbers_cost_one_more_reading_for_all_columns(tmp_path, monkeypatch):
    monkeypatch.setattr("cryocloud.engine.io.star._ROWS_A_CHUNK", 2)
    seconds = []
    for columns in (200, 800):
        path = wide_star(tmp_path / "in.star", columns, rows=40)
        with path.open("a") as stream:
            stream.write(" ".join(["2b"] * columns) + "\n")
        begin_s = time.process_time()
        table = read_star(path)["wide"]
        seconds.append(time.process_time() - begin_s)
        assert table[f"rlnColumn{columns - 1}"].tolist() == ["1.5"] * 40 + ["2b"]
    assert seconds[1] < 10 * seconds[0]

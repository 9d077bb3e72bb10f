"""The program: the same numbers as in Python, from files, and what it says where something is wrong."""

import importlib.util
import json
import os
import runpy
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression

import rfpcore
from rfpcore import _commands, _table_file
from rfpcore._frame_columns import encoded
from rfpcore.causal import ClusterEffect, DifferenceInDifferences, StaggeredEffect
from rfpcore.cli import main
from rfpcore.conformal import ClusterConformal
from rfpcore.datasets import make_policy
from rfpcore.estimators import RFPRegressorCV

DATA = make_policy(n_clusters=16, n_per_cluster=4, selection=0.0, random_state=0)
FRAME = pd.DataFrame(DATA.X[:, :2], columns=["x0", "x1"]).assign(
    rent=DATA.y,
    law=DATA.treatment.astype(int),
    town=DATA.groups,
    half=np.arange(64) % 2,
    size=1.0 + np.arange(64) % 3,
)
EFFECT = ["--outcome", "rent", "--treatment", "law", "--clusters", "town", "--outcome-model", "linear"]
COVARIATES = ["--covariates", "x0", "x1"]
FIT = ["--outcome", "rent", "--features", "x0", "x1"]
SMALL = ["--set", "hidden_layer_sizes=(3,)", "max_iter=5"]


@pytest.fixture
def file(tmp_path):
    FRAME.to_csv(tmp_path / "rents.csv", index=False)
    return str(tmp_path / "rents.csv")


def test_a_reader_that_has_enough_ends_the_program_quietly(file, capsys, monkeypatch):
    """As `rfpcore predict ... | head` does; it was an error, "Broken pipe"."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stdout, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stdout)
        assert main(["effect", file, *EFFECT]) == 141
    assert capsys.readouterr().err == ""


def panel(n_periods):
    """Twenty clusters, half of which adopt: in the second period, or in the second and the third."""
    random = np.random.default_rng(0)
    town, year = np.repeat(np.arange(20), n_periods), np.tile(np.arange(n_periods), 20)
    begins = np.where(town < 5, 1, np.where(town < 10, min(2, n_periods - 1), n_periods))
    law = (year >= begins).astype(int)
    rent = 0.1 * town + year + law + random.standard_normal(len(town))
    return pd.DataFrame({"rent": rent, "law": law, "town": town, "year": year})


def expected(frame, **more):
    model = ClusterEffect(outcome=LinearRegression())
    return model.fit(frame, "rent", "law", "town", covariates=["x0", "x1"], **more)


def test_effect_as_text(file, capsys):
    assert main(["effect", file, *EFFECT, *COVARIATES, "--level", "0.9"]) == 0
    out = capsys.readouterr()
    assert out.out == expected(FRAME).summary(0.9) + "\n"
    assert out.err == ""


def test_effect_as_json_by_subgroup_with_weights(file, tmp_path, capsys):
    place = tmp_path / "out.json"
    more = ["--by", "half", "--format", "json", "--output", str(place), "--weights", "size"]
    assert main(["effect", file, *EFFECT, *COVARIATES, *more]) == 0
    assert capsys.readouterr().out == ""
    found = json.loads(place.read_text())
    assert found["estimator"] == "ClusterEffect"
    assert found["n_clusters"] == 16
    model = expected(FRAME, by="half", sample_weight="size")
    numbers = [row["estimate"] for row in found["effects"]]
    assert_allclose([np.nan if x is None else x for x in numbers], model.to_frame()["estimate"], rtol=1e-9)


def test_what_there_is_no_number_for_is_null_in_json():
    assert [_commands.plain(value) for value in (np.nan, np.float64(1.5), np.inf, "a", np.int64(3))] == [
        None, 1.5, None, "a", 3,
    ]  # fmt: skip


def test_effect_as_latex(file, capsys):
    assert main(["effect", file, *EFFECT, *COVARIATES, "--format", "latex"]) == 0
    assert capsys.readouterr().out == expected(FRAME).to_latex(0.95) + "\n"


@pytest.mark.parametrize("ending", [".dta", ".parquet", ".tsv", ".csv.gz"])
def test_kinds_of_files(ending, file, tmp_path, capsys):
    place = str(tmp_path / f"rents{ending}")
    if ending == ".dta":
        labelled = FRAME.assign(law=pd.Categorical.from_codes(FRAME["law"], ["no", "yes"]))
        labelled.to_stata(place, write_index=False)
    elif ending == ".parquet":
        if importlib.util.find_spec("pyarrow") is None:
            pytest.skip("pandas needs pyarrow to write Parquet")
        FRAME.to_parquet(place)
    else:
        FRAME.to_csv(place, index=False, sep="\t" if ending == ".tsv" else ",")
    numbers = []
    for path in (file, place):
        assert main(["effect", path, *EFFECT, *COVARIATES, "--format", "json"]) == 0
        numbers.append(json.loads(capsys.readouterr().out)["effects"][0]["estimate"])
    assert_allclose(numbers[0], numbers[1], rtol=1e-9)


@pytest.mark.parametrize(("kind", "n_periods"), [(DifferenceInDifferences, 2), (StaggeredEffect, 3)])
def test_did_by_the_number_of_periods(kind, n_periods, tmp_path, capsys):
    frame = panel(n_periods)
    frame.to_csv(tmp_path / "panel.csv", index=False)
    options = ["did", str(tmp_path / "panel.csv"), *EFFECT, "--time", "year", "--unit", "town"]
    assert main([*options, "--format", "json", "--save", str(tmp_path / "model")]) == 0
    found = json.loads(capsys.readouterr().out)
    model = kind(outcome=LinearRegression())
    model.fit(frame, "rent", "law", "town", "year", unit="town", covariates=[])
    assert found["estimator"] == kind.__name__
    assert_allclose(found["effects"][0]["estimate"], model.estimate_, rtol=1e-9)
    assert rfpcore.load(tmp_path / "model").estimate_ == found["effects"][0]["estimate"]
    if n_periods == 3:
        assert main([*options, "--by", "dynamic"]) == 0
        assert "event time" in capsys.readouterr().out
    else:
        assert main([*options, "--by", "dynamic"]) == 2
        assert "is for more than two periods; 'year' has 2" in capsys.readouterr().err


def test_fit_and_predict(file, tmp_path, capsys):
    model = str(tmp_path / "model")
    clusters = ["--clusters", "town"]
    network = ["--estimator", "RFPRegressor", *SMALL, "inner_lr=0.05", "solver=adam"]
    assert main(["fit", file, *FIT, *clusters, *network, "--save", model]) == 0
    assert "RFPRegressor: 64 rows, 2 features\nR2 on the rows it was" in capsys.readouterr().out
    alone = rfpcore.RFPRegressor(hidden_layer_sizes=(3,), max_iter=5, inner_lr=0.05, random_state=0)
    alone.fit(FRAME[["x0", "x1"]], FRAME["rent"], FRAME["town"])
    assert main(["predict", model, file, "--output", str(tmp_path / "out.csv"), "--jobs", "1"]) == 0
    found = pd.read_csv(tmp_path / "out.csv")
    assert_allclose(found["prediction"], alone.predict(FRAME[["x0", "x1"]]), rtol=1e-6)
    assert main(["predict", model, file, *clusters]) == 2
    assert "--clusters is for mixed models" in capsys.readouterr().err


def test_classes(file, tmp_path, capsys):
    model = str(tmp_path / "model")
    options = ["--outcome", "law", "--features", "x0", "--estimator", "MLPClassifier", *SMALL]
    assert main(["fit", file, *options, "--save", model]) == 0
    assert "accuracy on the rows it was trained on" in capsys.readouterr().out
    assert main(["predict", model, file, "--probabilities"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "probability_0,probability_1"
    assert_allclose([sum(map(float, line.split(","))) for line in lines], 1)
    assert main(["predict", model, file]) == 0
    assert set(capsys.readouterr().out.split()) <= {"prediction", "0", "1"}


REGION = np.array(["north", "south", "east"])[np.arange(64) % 3]


@pytest.mark.parametrize("kind", [partial(RFPRegressorCV, alphas=(1.0,), n_folds=2), ClusterConformal])
def test_models_that_hold_another(kind, file, tmp_path, capsys):
    base = rfpcore.RFPRegressor(hidden_layer_sizes=(3,), max_iter=5, random_state=0)
    model = kind(base).fit(FRAME[["x0", "x1"]], FRAME["rent"], FRAME["town"])
    model.save(tmp_path / "model")
    assert main(["predict", str(tmp_path / "model"), file]) == 0
    found = np.array(capsys.readouterr().out.splitlines()[1:], float)
    assert_allclose(found, model.predict(FRAME[["x0", "x1"]]))


def test_text_is_encoded_as_it_is_for_effects(tmp_path, capsys):
    place, model = str(tmp_path / "text.csv"), str(tmp_path / "model")
    FRAME.assign(region=REGION, one="same").to_csv(place, index=False)
    features = ["--outcome", "rent", "--features", "region", "x0", "one"]
    assert main(["fit", place, *features, "--estimator", "MLPRegressor", *SMALL, "--save", model]) == 0
    out = capsys.readouterr().out
    assert "64 rows, 3 features\nreference of region: east\nreference of one: same\n" in out
    by_hand = pd.DataFrame(
        {"region[north]": REGION == "north", "region[south]": REGION == "south", "x0": FRAME["x0"]},
        dtype=float,
    )
    alone = rfpcore.MLPRegressor(hidden_layer_sizes=(3,), max_iter=5, random_state=0)
    alone.fit(by_hand, FRAME["rent"])
    # Rows without some label have its column nevertheless.
    FRAME.assign(region=REGION, one="same").iloc[:2].to_csv(place, index=False)
    assert main(["predict", model, place]) == 0
    found = np.loadtxt(capsys.readouterr().out.splitlines()[1:])
    assert_allclose(found, alone.predict(by_hand[:2]), rtol=1e-6)  # printed digits
    loaded = rfpcore.load(model)
    loaded.save(tmp_path / "again")
    assert main(["predict", str(tmp_path / "again"), place]) == 0
    assert_array_equal(np.loadtxt(capsys.readouterr().out.splitlines()[1:]), found)
    assert loaded.fit(by_hand, FRAME["rent"])._text_labels == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"region": "west"},
            "column 'region' holds 'west' in 64 of 64 rows, a label that the model has not seen",
        ),
        ({"region": None}, "column 'region' has no label in row 0"),
    ],
)
def test_text_that_the_model_does_not_know(change, words, tmp_path, capsys):
    place, model = str(tmp_path / "text.csv"), str(tmp_path / "model")
    FRAME.assign(region=REGION).to_csv(place, index=False)
    options = ["--outcome", "rent", "--features", "region", "--estimator", "MLPRegressor", *SMALL]
    assert main(["fit", place, *options, "--save", model]) == 0
    FRAME.assign(**change).to_csv(place, index=False)
    assert main(["predict", model, place]) == 2
    assert words in capsys.readouterr().err


def test_mixed_models_know_their_clusters(file, tmp_path, capsys):
    model = str(tmp_path / "model")
    options = [*FIT, "--clusters", "town", "--set", "mean=linear", "--save", model]
    assert main(["fit", file, *options]) == 0
    capsys.readouterr()
    predictions = []
    for more in ([], ["--clusters", "town"]):
        assert main(["predict", model, file, *more]) == 0
        predictions.append(np.loadtxt(capsys.readouterr().out.splitlines()[1:]))
    alone = rfpcore.load(model)
    assert_allclose(predictions[0], alone.predict(FRAME[["x0", "x1"]]))
    assert_allclose(predictions[1], alone.predict(FRAME[["x0", "x1"]], FRAME["town"].to_numpy()))


def test_rows_with_missing_values(tmp_path, capsys):
    torn = FRAME.assign(other=np.nan)
    torn.loc[[3, 7], "x0"] = np.nan
    place = str(tmp_path / "torn.csv")
    torn.to_csv(place, index=False)
    assert main(["effect", place, *EFFECT, *COVARIATES]) == 2
    assert "x0" in capsys.readouterr().err
    assert main(["effect", place, *EFFECT, *COVARIATES, "--drop-missing"]) == 0
    out = capsys.readouterr()
    assert out.err == "rfpcore: 2 of 64 rows left out, with a missing value\n"
    assert out.out == expected(FRAME.drop([3, 7])).summary() + "\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rents.csv": "nothing.csv"}, "there is no file"),
        ({"rents.csv": "rents.xlsx"}, "is of no kind that is read; .csv, .tsv, .parquet, .dta are"),
        ({"rent": "price"}, "there is no column 'price'; the file has x0, x1, rent, law, town, half, size"),
        ({"x1": "x9"}, "there is no column 'x9'"),
        ({"law": "x0"}, "treatment"),
        ({"linear": "cubic"}, "invalid choice: 'cubic'"),
    ],
)
def test_what_is_wrong_ends_in_2_and_a_line(change, words, file, capsys):
    arguments = ["effect", file, *EFFECT, *COVARIATES]
    (old, new), *_ = change.items()
    arguments = [text.replace(old, new) if text.endswith(old) else text for text in arguments]
    assert main(arguments) == 2
    out = capsys.readouterr()
    assert words in out.err
    assert "Traceback" not in out.err
    assert out.out == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "depth=3"], "--set depth=3: NAME=VALUE is needed, with a name among activation"),
        (["--set", "max_iter"], "--set max_iter: NAME=VALUE is needed"),
        (["--set", "max_iter=many"], "max_iter='many'"),
    ],
)
def test_parameters_that_are_wrong(options, words, file, capsys):
    assert main(["fit", file, *FIT, "--estimator", "MLPRegressor", *options]) == 2
    assert words in capsys.readouterr().err


def test_a_mixed_model_without_clusters(file, capsys):
    assert main(["fit", file, *FIT]) == 2
    assert "a MixedRegressor needs --clusters" in capsys.readouterr().err


def test_a_file_that_is_no_model(file, capsys):
    assert main(["predict", file, file]) == 2
    assert "rfpcore: error: " in capsys.readouterr().err


def test_warnings_are_lines_on_standard_error(tmp_path, capsys):
    few = FRAME[FRAME["town"].isin(pd.unique(FRAME["town"])[:7])]
    few.to_csv(tmp_path / "few.csv", index=False)
    assert main(["effect", str(tmp_path / "few.csv"), *EFFECT]) == 0
    assert "rfpcore: DesignWarning: " in capsys.readouterr().err


def test_without_pandas(file, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert main(["effect", file, *EFFECT]) == 2
    assert capsys.readouterr().err == "rfpcore: error: reading files needs pandas: pip install pandas\n"


def test_ctrl_c(file, monkeypatch, capsys):
    def interrupted(self, *arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(ClusterEffect, "fit", interrupted)
    assert main(["effect", file, *EFFECT]) == 130
    assert capsys.readouterr().err == "rfpcore: interrupted\n"


def written(tmp_path, change, name="odd.csv", encoding="utf-8"):
    """The rents as a CSV whose lines are changed."""
    place = tmp_path / name
    place.write_text(change(FRAME.to_csv(index=False)), encoding=encoding)
    return str(place)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: "\n\n" + text.replace("\n", "\n\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", ",\n"),
        lambda text: text.replace("\n", ",\n").replace(",\n", "\n", 1),  # the head has no such end
        lambda text: text.replace("\n", "\n7,").removesuffix(
            "7,"
        ),  # names of rows without a head, as R writes
        lambda text: text.replace("size\n", '"si\nze, ""all"""\n'),
    ],
    ids=["bom", "empty lines", "windows", "ends", "ends of rows", "names of rows", "quotes"],
)
def test_odd_files_that_say_the_same(change, tmp_path, capsys):
    assert main(["effect", written(tmp_path, change), *EFFECT, *COVARIATES]) == 0
    out = capsys.readouterr()
    assert out.out == expected(FRAME).summary() + "\n"
    assert out.err == ""


def commas_in_numbers(text):
    """Of a language that has them, so that rows have different numbers of commas."""
    return text.replace(",", ";").replace(".", ",").replace("1,0", "1")


@pytest.mark.parametrize(
    ("change", "encoding", "words"),
    [
        (lambda text: text.replace(",", ";"), "utf-8", "as it is separated by ';'; a .csv file needs ','"),
        (commas_in_numbers, "utf-8", "as it is separated by ';'; a .csv file needs ','"),
        (lambda text: text.replace("\n", "\n1,5,", 64), "utf-8", "rows have 9 values, the head 7 names"),
        (lambda text: text.replace("size", "größe"), "latin-1", "odd.csv is no text in UTF-8 ("),
        (lambda text: text.replace("half", "x0"), "utf-8", "more than one column 'x0'"),
        (lambda text: text.replace("2.0\n", "2.0,1,1\n"), "utf-8", "odd.csv cannot be read: "),
        (lambda text: "", "utf-8", "odd.csv cannot be read: "),
        (lambda text: text.replace(text.split()[1].split(",")[1], "1e400"), "utf-8", "'x1' must be finite"),
    ],
    ids=["semicolons", "commas in numbers", "two more", "latin", "twice", "ragged", "empty", "huge"],
)
def test_odd_files_that_are_refused(change, encoding, words, tmp_path, capsys):
    place = written(tmp_path, change, encoding=encoding)
    assert main(["effect", place, *EFFECT, *COVARIATES]) == 2
    out = capsys.readouterr()
    assert words in out.err
    assert out.err.count("\n") == 1
    assert out.out == ""


@pytest.mark.parametrize("start", [0, 1])
def test_numbers_of_rows_and_an_end_of_each_row(start, tmp_path):
    """Pandas makes a range of the first column, which looks as if there were no other index."""
    place = written(tmp_path, lambda _: f"id,x,y\n{start},5,7,\n{start + 1},6,8,\n")
    found = _table_file.read_table(place, ["x"])
    assert found.to_dict("list") == {"id": [start, start + 1], "x": [5, 6], "y": [7, 8]}


def test_names_of_rows_and_a_column_that_is_missing_everywhere(tmp_path):
    found = _table_file.read_table(written(tmp_path, lambda _: "x,y\na,5,NA\nb,6,NA\n"), ["x"])
    assert found["x"].tolist() == [5, 6]
    assert found["y"].isna().all()


def test_an_index_with_a_name_is_a_column():
    """As Parquet files of pandas have it."""
    assert _table_file._with_index(FRAME.set_index("town"))["town"].equals(FRAME["town"])
    for frame in (FRAME, FRAME.rename_axis("town"), FRAME.iloc[::2]):
        assert _table_file._with_index(frame) is frame


def test_a_torn_archive(file, tmp_path, capsys):
    FRAME.to_csv(tmp_path / "torn.csv.gz", index=False)
    data = (tmp_path / "torn.csv.gz").read_bytes()
    (tmp_path / "torn.csv.gz").write_bytes(data[: len(data) // 2])
    assert main(["effect", str(tmp_path / "torn.csv.gz"), *EFFECT]) == 2
    assert "torn.csv.gz cannot be read: " in capsys.readouterr().err


def test_numbers_that_a_sign_makes_labels(tmp_path, capsys):
    FRAME.assign(age=[".", *map(str, np.arange(63) % 9)]).to_csv(tmp_path / "ages.csv", index=False)
    assert main(["effect", str(tmp_path / "ages.csv"), *EFFECT, "--covariates", "age"]) == 0
    err = capsys.readouterr().err
    assert "column 'age' is taken for labels, each a column of 0 and 1, because '.' is no number; 9 of" in err


def test_categories_are_labels_on_purpose():
    children = pd.Series(["0", "1", "2", "3+"])
    with pytest.warns(UserWarning, match=r"because '3\+' is no number"):
        found = encoded(children, "children")
    assert_array_equal(encoded(children.astype("category"), "children").columns, found.columns)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--level", "95"], "--level=95.0"),
        (["--output", "no/such/place"], "--output no/such/place is a folder, or in none that is there"),
        (["--output", "rents.csv"], "--output rents.csv is the same file as ./rents.csv"),
        (["--save", "no/such/place"], "there is no folder no/such"),
        (["--save", "rents.csv"], "--save rents.csv is the same file as ./rents.csv"),
        (["--save", "new", "--output", "./new"], "--output new is the same file as new"),
    ],
)
def test_errors_come_before_work(options, words, file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ClusterEffect, "fit", None)
    assert main(["effect", "./rents.csv", *EFFECT, *options]) == 2
    assert words in capsys.readouterr().err
    assert pd.read_csv(file).equals(pd.read_csv("rents.csv"))
    assert [place.name for place in tmp_path.iterdir()] == ["rents.csv"]


@pytest.mark.parametrize(("command", "asked"), [("fit", "."), ("sweep", "kept")])
def test_a_model_is_replaced_and_a_sweep_is_written_to(command, asked, file, tmp_path, monkeypatch, capsys):
    """By the folder's permissions, and by the file's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "access", lambda place, how: str(place) != asked)
    (tmp_path / "kept").touch()
    assert main([command, file, *FIT, "--save", "kept"]) == 2
    assert "--save kept cannot be written to" in capsys.readouterr().err


def test_an_unknown_kind_of_effects_comes_before_work(tmp_path, monkeypatch, capsys):
    panel(3).to_csv(tmp_path / "panel.csv", index=False)
    monkeypatch.setattr(StaggeredEffect, "fit", None)
    assert main(["did", str(tmp_path / "panel.csv"), *EFFECT, "--time", "year", "--by", "size"]) == 2
    assert "--by='size' is unknown; one of 'simple'" in capsys.readouterr().err


def test_the_outcome_is_no_feature(file, capsys):
    assert main(["fit", file, "--outcome", "rent", "--features", "x0", "rent", "--clusters", "town"]) == 2
    assert "--features names 'rent', which is the outcome" in capsys.readouterr().err


def test_a_divergence_is_a_line(file, capsys):
    wild = ["--estimator", "RFPRegressor", "--set", "inner_lr=1e3", "inner_steps=40", "activation=relu"]
    assert main(["fit", file, *FIT, "--clusters", "town", *wild]) == 2
    assert "rfpcore: error: the loss of cluster " in capsys.readouterr().err


def test_a_pipe_that_is_closed_early(file):
    program = f"import sys; from rfpcore.cli import main; sys.exit(main({['effect', file, *EFFECT]!r}))"
    read, write = os.pipe()
    os.close(read)
    found = subprocess.run([sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (found.returncode, found.stderr) == (141, b"")


def test_help_and_version_need_nothing(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rfpcore {rfpcore.__version__}\n"
    for command in ([], ["effect"], ["did"], ["fit"], ["predict"]):
        assert main([*command, "--help"]) == 0
        assert "usage: rfpcore" in capsys.readouterr().out
    assert main([]) == 2


def test_the_module_is_the_program(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["rfpcore", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("rfpcore", run_name="__main__")
    assert end.value.code == 0
    assert_array_equal(capsys.readouterr().out.split(), ["rfpcore", rfpcore.__version__])

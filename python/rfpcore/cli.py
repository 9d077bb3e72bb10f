"""The program `rfpcore`: effects, fits and predictions from files, without a line of Python."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

__all__ = ["main"]

WRONG, INTERRUPTED, UNREAD = 2, 130, 141  # exit codes: of misuse; of Ctrl-C and a closed pipe, as in shells

DESCRIPTION = "Effects of policies that come by cluster, and networks on clustered data, from a file."
FILE = "a .csv, .tsv, .parquet or .dta (Stata) file; .csv.gz and the like too"
MODELS = ("auto", "linear", "logistic", "network")
LOSSES = ("squared", "huber", "poisson", "logistic", "softmax")
ESTIMATORS = (
    "MixedRegressor",
    "MixedClassifier",
    "RFPRegressor",
    "RFPClassifier",
    "MLPRegressor",
    "MLPClassifier",
    "EnsembleRegressor",
    "EnsembleClassifier",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; None takes those of the process.

    Returns
    -------
    code : int
        0, or 2 where something was wrong, with a line on standard error that says what; 130 after Ctrl-C; 141
        where nobody reads what is written.

    Examples
    --------
    >>> from rfpcore.cli import main
    >>> main(["--version"])  # doctest: +ELLIPSIS
    rfpcore ...
    0
    """
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as end:  # argparse has said why, or has given help
        return end.code if isinstance(end.code, int) else WRONG
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _show_warning
        try:
            return _run(options)
        except KeyboardInterrupt:
            print("rfpcore: interrupted", file=sys.stderr)
            return INTERRUPTED
        except BrokenPipeError:
            return _nobody_reads()
        except (ArithmeticError, ValueError, TypeError, ImportError, OSError, MemoryError) as error:
            words = " ".join(str(error).split())  # of several lines too, as other packages have them
            print(f"rfpcore: error: {words or type(error).__name__}", file=sys.stderr)
            return WRONG


def _run(options: argparse.Namespace) -> int:
    """The command, whose module is imported here: `--help` must not wait for scikit-learn."""
    from . import _bench_command, _commands, _sweep_command

    commands = {
        "effect": _commands.effect,
        "did": _commands.did,
        "fit": _commands.fit,
        "predict": _commands.predict,
        "sweep": _sweep_command.sweep,
        "bench": _bench_command.bench,
    }
    _require_places(options)
    text = commands[options.command](options)
    if options.output is None:
        print(text, flush=True)
    else:
        with open(options.output, "w", encoding="utf-8") as file:
            print(text, file=file)
    return INTERRUPTED if options.interrupted else 0


def _require_places(options: argparse.Namespace) -> None:
    """Where results go can be written to, which is asked before any work, and holds nothing that is read."""
    from ._files import target_mode
    from ._options import file_path

    places = {name: getattr(options, name, None) for name in ("file", "model", "save", "output")}
    for name in ("save", "output"):
        if places[name] is None:
            continue
        place = file_path(places[name], f"--{name}")
        if name == "save":
            target_mode(place)
        if place.is_dir() or not place.parent.is_dir():
            raise ValueError(f"--{name} {place} is a folder, or in none that is there; a file is needed")
        replaced = name == "save" and options.command != "sweep"  # by another file of its name
        if not os.access(place if place.exists() and not replaced else place.parent, os.W_OK):
            raise PermissionError(f"--{name} {place} cannot be written to")
        if place.exists() and not place.is_file():  # a device takes whatever is sent there
            continue
        read = [other for role, other in places.items() if role not in (name, "output") and other is not None]
        same = next((other for other in read if Path(other).resolve() == place.resolve()), None)
        if same is not None:
            raise ValueError(f"--{name} {place} is the same file as {same}; another is needed")


def _nobody_reads() -> int:
    """Standard output was closed, as by `head`: what is left goes nowhere, so that no later flush fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return UNREAD


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """What is wrong, without a place in code that the user has not written."""
    print(f"rfpcore: {category.__name__}: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("rfpcore", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"rfpcore {version('rfpcore')}")
    parser.set_defaults(interrupted=False)  # a command says so, whose part that is done is shown
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_effect(commands.add_parser("effect", help="the effect of a policy that is on or off by cluster"))
    _add_did(commands.add_parser("did", help="difference-in-differences, staggered where periods are many"))
    _add_fit(commands.add_parser("fit", help="train an estimator and save it"))
    _add_predict(commands.add_parser("predict", help="predictions of a saved estimator, as CSV"))
    _add_sweep(commands.add_parser("sweep", help="networks of many widths, regularizers and seeds"))
    _add_bench(commands.add_parser("bench", help="how fast this machine is"))
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    """What all commands have."""
    parser.add_argument("--output", metavar="PATH", help="write here instead of to standard output")
    parser.add_argument("--jobs", type=int, metavar="N", help="threads; all cores by default")


def _add_rows(parser: argparse.ArgumentParser) -> None:
    """What those have that read a file."""
    parser.add_argument("file", help=FILE)
    _add_run(parser)


def _add_data(parser: argparse.ArgumentParser) -> None:
    """Columns that fits need."""
    _add_rows(parser)
    parser.add_argument("--outcome", required=True, metavar="COLUMN")
    parser.add_argument("--weights", metavar="COLUMN", help="weights of the rows")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--save", metavar="PATH", help="save what was fitted, for rfpcore.load and `predict`")
    _add_missing(parser)


def _add_missing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--drop-missing", action="store_true", help="leave out rows with a missing value in a column used"
    )


def _add_causal(parser: argparse.ArgumentParser) -> None:
    _add_data(parser)
    parser.add_argument("--treatment", required=True, metavar="COLUMN", help="0 and 1")
    parser.add_argument("--clusters", required=True, metavar="COLUMN")
    parser.add_argument("--covariates", nargs="*", default=[], metavar="COLUMN", help="none by default")
    parser.add_argument("--outcome-model", choices=MODELS, default="auto")
    parser.add_argument("--inference", metavar="METHOD", help="such as jackknife or bootstrap")
    parser.add_argument("--level", type=float, default=0.95, help="of the intervals, .95 by default")
    parser.add_argument("--format", choices=("text", "json", "latex"), default="text")


def _add_effect(parser: argparse.ArgumentParser) -> None:
    _add_causal(parser)
    parser.add_argument("--estimand", choices=("att", "ate"), default="att")
    parser.add_argument("--by", metavar="COLUMN", help="subgroups, each with an effect")


def _add_did(parser: argparse.ArgumentParser) -> None:
    _add_causal(parser)
    parser.add_argument("--time", required=True, metavar="COLUMN", help="periods: numbers or dates")
    parser.add_argument("--unit", metavar="COLUMN", help="who is followed over time")
    parser.add_argument("--by", metavar="WHAT", help="of many periods: dynamic, group, calendar, cells")


def _add_fit(parser: argparse.ArgumentParser) -> None:
    _add_data(parser)
    parser.add_argument("--estimator", choices=ESTIMATORS, default="MixedRegressor")
    parser.add_argument("--clusters", metavar="COLUMN")
    parser.add_argument("--features", nargs="+", required=True, metavar="COLUMN")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="parameters of the estimator, such as alpha=0.1 'hidden_layer_sizes=(32, 32)'",
    )


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="what `fit --save` wrote")
    _add_rows(parser)
    parser.add_argument("--clusters", metavar="COLUMN", help="of a mixed model: use what is known of these")
    parser.add_argument("--probabilities", action="store_true", help="of the classes, instead of one class")


def _add_sweep(parser: argparse.ArgumentParser) -> None:
    _add_rows(parser)
    _add_missing(parser)
    parser.set_defaults(weights=None)
    parser.add_argument("--outcome", required=True, metavar="COLUMN")
    parser.add_argument("--features", nargs="+", required=True, metavar="COLUMN")
    parser.add_argument("--clusters", metavar="COLUMN", help="whole clusters are held out, not rows")
    parser.add_argument("--loss", choices=LOSSES, default="squared")
    parser.add_argument(
        "--widths",
        nargs="+",
        default=["16", "64", "64-64"],
        metavar="W",
        help="such as 64 or 64-64; 0 is linear",
    )
    for name, text in (("l2", "strengths"), ("l1", "strengths"), ("dropout", "rates")):
        parser.add_argument(f"--{name}", nargs="+", type=float, default=[0.0], metavar="X", help=text)
    parser.add_argument(
        "--learning-rate", nargs="+", type=float, default=[0.001], metavar="X", help="of Adam"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="networks of each setting")
    parser.add_argument("--epochs", type=int, default=100, metavar="N")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N")
    parser.add_argument("--held-out", type=float, default=0.25, metavar="SHARE")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is held out")
    parser.add_argument(
        "--save", metavar="PATH", help="keep what is finished; the same call goes on from there"
    )
    parser.add_argument("--format", choices=("text", "json", "latex"), default="text")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    _add_run(parser)
    parser.add_argument(
        "--seconds", type=float, default=1.0, metavar="S", help="for each of three measurements"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")

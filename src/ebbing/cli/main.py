"""The entry point: commands, and the exit codes 0 done, 2 the user's input is at fault, 1 ours, 130 interrupted."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from ebbing.errors import InputError

LARGEST_SEED = 2**62  # torch takes a little more, but each retrained model adds to it

app = typer.Typer(
    help="Make a trained PyTorch model forget chosen training data, and measure how far it is from never having seen it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"ebbing {version('ebbing')}")
        raise typer.Exit


@app.callback()
def common(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every command."""
    if debug:
        os.environ["EBBING_DEBUG"] = "1"


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where weights and the report go.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.", min=0, max=LARGEST_SEED)] = 0,
) -> None:
    """Memorise wrong labels in scikit-learn's digits, forget them by five methods, and judge each. About a minute."""
    from ebbing.cli.run import run_demo

    run_demo(out=out, seed=seed)


@app.command()
def methods() -> None:
    """List unlearning methods, presets, curves, rankings, rates and attacks; controls are marked."""
    from ebbing.cli.listing import print_listing

    print_listing()


@app.command()
def run(
    dataset: Annotated[str, typer.Option(help="digits, mnist or fashion-mnist.")] = "digits",
    data_dir: Annotated[Path | None, typer.Option(help="Where the IDX files are.")] = None,
    train_size: Annotated[int | None, typer.Option(help="Keep so many training records, drawn by the seed.")] = None,
    model: Annotated[str | None, typer.Option(help="The network; by default the data set's.")] = None,
    recipe: Annotated[
        list[str] | None, typer.Option(help="key=value of the training, such as epochs=10; repeatable.")
    ] = None,
    forget: Annotated[
        str, typer.Option(help="random:0.1, balanced:0.05, class:3, mislabelled:0.05, or a file of ids.")
    ] = "random:0.1",
    method: Annotated[list[str] | None, typer.Option(help="name[:preset][@label]; repeatable; default ebb.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="[method.]field[.sub]=value; repeatable.")] = None,
    oracles: Annotated[int, typer.Option(help="How many retrained models to compare with.", min=0)] = 16,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.", min=0, max=LARGEST_SEED)] = 0,
    out: Annotated[Path, typer.Option(help="Where weights and the report go; a rerun goes on there.")] = Path(
        "runs/run"
    ),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Of torch; by default torch's own choice.", min=1)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and how long it takes.")] = False,
) -> None:
    """Train, forget, retrain references, and judge: the whole comparison on one data set."""
    from ebbing.cli.run import Options, run_study

    run_study(
        Options(
            dataset=dataset,
            data_dir=data_dir,
            train_size=train_size,
            model=model,
            recipe=tuple(recipe or ()),
            forget=forget,
            methods=tuple(method or ("ebb",)),
            settings=tuple(settings or ()),
            oracles=oracles,
            seed=seed,
            out=out,
            device=device,
            threads=threads,
        ),
        dry_run=dry_run,
    )


def main() -> None:
    """Run the command line and exit with its code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no plus-minus sign shows something else
    try:
        code = app(standalone_mode=False)
        if code == 130:  # what typer makes of Ctrl-C, without a word
            raise KeyboardInterrupt
    except (KeyboardInterrupt, Abort):
        _say("Interrupted. What was finished is kept: the same command goes on from there.")
        code = 130
    except InputError as error:
        _say(f"Error: {error}")
        code = 2
    except TyperException as error:
        if message := error.format_message():  # none where the help was shown instead
            _say(f"Error: {message}")
        code = 2
    except OSError as error:
        _say(f"Error: {error.strerror or error}: {error.filename}" if error.filename else f"Error: {error}")
        code = 2
    except Exception as error:
        said = " ".join(str(error).split()).rstrip(".")
        _say(
            f"Internal error: {type(error).__name__}: {said}. This is a defect of ebbing; "
            f"`ebbing --debug {' '.join(sys.argv[1:2])} ...` shows where."
        )
        code = 1
    sys.exit(code or 0)


def _say(line: str) -> None:
    typer.echo(line, err=True)
    if os.environ.get("EBBING_DEBUG") and sys.exc_info()[0] is not None:
        traceback.print_exc()

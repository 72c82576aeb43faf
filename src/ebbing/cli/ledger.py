"""``ebbing ledger``: the commands and their options; what they do is imported when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ebbing.cli import complete
from ebbing.cli.executing import Address, CpusPerRun, ExecutorName, GpusPerRun, workers_named

ledger = typer.Typer(
    help="Keep a durable ledger of erasure requests: take them in, have a model forget, decide, and show evidence.",
    no_args_is_help=True,
)
request = typer.Typer(help="Take requests in, and look at them.", no_args_is_help=True)
ledger.add_typer(request, name="request")

Folder = Annotated[
    Path, typer.Option("--ledger", help="The ledger's folder.", envvar="EBBING_LEDGER", show_default=True)
]
HERE = Path("ledger")
By = Annotated[str, typer.Option("--by", help="The name of who does this; it becomes part of the evidence.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in words; it becomes part of the evidence.")]
Number = Annotated[int, typer.Argument(help="Number of a request.")]


@ledger.command()
def init(
    data: Annotated[str, typer.Option(help="The full training set as it was: pkg.mod:train_set, or files.")],
    holdout: Annotated[str, typer.Option(help="Unseen data: pkg.mod:test_set, or files.")],
    model: Annotated[str | None, typer.Option(help="pkg.mod:build, a function that gives the network.")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights of the model as it is in production; they are copied. With --sisa they may be left out."
        ),
    ] = None,
    hf: Annotated[
        Path | None,
        typer.Option(
            "--hf", help="In place of --model and --weights: a folder of the transformers library; it is copied."
        ),
    ] = None,
    pretrained: Annotated[
        Path | None,
        typer.Option(
            help="The folder that --hf was fine-tuned from: where training from scratch and references start."
        ),
    ] = None,
    folder: Folder = HERE,
    database: Annotated[
        str,
        typer.Option(help="sqlite:///FILE in the ledger's folder, or postgresql://USER@HOST/NAME without a password."),
    ] = "sqlite:///ledger.db",
    key: Annotated[
        str, typer.Option(help="File of the signing key, in the ledger's folder unless absolute; made if missing.")
    ] = "signing.key",
    keys: Annotated[str | None, typer.Option(help="pkg.mod:keys, one key for each training record.")] = None,
    subjects: Annotated[
        str | None,
        typer.Option(help="A .csv with the columns subject and record, or pkg.mod:function, subject -> keys."),
    ] = None,
    matched: Annotated[str | None, typer.Option(help="pkg.mod:data, unseen data like the records to forget.")] = None,
    task: Annotated[str | None, typer.Option(help="As of `ebbing unlearn`.")] = None,
    train_fn: Annotated[
        str | None, typer.Option("--train-fn", help="pkg.mod:train, a function (dataset, *, seed) -> model.")
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="In the place of --train-fn: key=value of the training or fine-tuning; repeatable."),
    ] = None,
    sisa: Annotated[
        str | None,
        typer.Option(help="SHARDS:SLICES, for an ensemble of such networks in shards, which forgets exactly."),
    ] = None,
    shards: Annotated[
        Path | None,
        typer.Option(help="With --sisa and --weights: the folder of the ensemble's checkpoints; they are copied."),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="That unlearns: ebb, or sisa with --sisa.", autocompletion=complete.methods)
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="field[.sub]=value; repeatable.")] = None,
    gone_method: Annotated[
        str | None,
        typer.Option(
            help="For records that are gone at the source, a method that never reads them: fine-tune, or sisa with --sisa.",
            autocompletion=complete.methods,
        ),
    ] = None,
    oracles: Annotated[int, typer.Option(help="Retrained references for each audit.", min=0)] = 16,
    accept: Annotated[
        str, typer.Option(help="Outcomes, by commas, that close a request unattended; all others need a decision.")
    ] = "consistent-with-retraining",
    due_days: Annotated[int, typer.Option(help="Days after which a request is due.", min=0)] = 30,
    retention_days: Annotated[
        int, typer.Option(help="Days after which what was trained on the records is purged.", min=0)
    ] = 30,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.", min=0)] = 0,
) -> None:
    """Make a ledger: its folder, database, key, and the first version of the model. Everything is in its ledger.json."""
    from ebbing.cli.erasures import make

    make(
        folder,
        weights,
        shards,
        hf,
        {
            "database": database,
            "key": key,
            "model": model,
            "pretrained": None if pretrained is None else str(pretrained),
            "data": data,
            "holdout": holdout,
            "matched": matched,
            "keys": keys,
            "subjects": subjects,
            "task": task,
            "train_fn": train_fn,
            "recipe": tuple(recipe or ()),
            "sisa": sisa,
            "method": method or ("ebb" if sisa is None else "sisa"),
            "settings": tuple(settings or ()),
            "gone_method": gone_method or ("fine-tune" if sisa is None else "sisa"),
            "oracles": oracles,
            "accept": tuple(word.strip() for word in accept.split(",") if word.strip()),
            "due_days": due_days,
            "retention_days": retention_days,
            "seed": seed,
        },
    )


@ledger.command()
def upgrade(folder: Folder = HERE) -> None:
    """Bring the database's tables up to date with this version of ebbing."""
    from ebbing.cli.erasures import bring_up_to_date

    bring_up_to_date(folder)


@ledger.command()
def status(folder: Folder = HERE) -> None:
    """How many requests are in which state, what is overdue, and which version of the model is current."""
    from ebbing.cli.erasures import show_status

    show_status(folder)


@request.command("add")
def request_add(
    basis: Annotated[str, typer.Option(help="The legal basis or reason, such as 'GDPR Art. 17(1)(b)'.")],
    folder: Folder = HERE,
    subject: Annotated[str | None, typer.Option(help="Whose records, as the map of subjects knows them.")] = None,
    record: Annotated[list[str] | None, typer.Option(help="Id of a record; repeatable.")] = None,
    records: Annotated[Path | None, typer.Option(help="A file of ids, one a line.")] = None,
    alike: Annotated[
        int | None, typer.Option("--alike", help="The records that were offered as like those of this request.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="In words; taken away by redaction.")] = None,
    received: Annotated[str | None, typer.Option(help="YYYY-MM-DD; today if it is not said.")] = None,
    due: Annotated[str | None, typer.Option(help="YYYY-MM-DD.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Your own number for it: the same twice is one request.")
    ] = None,
    gone: Annotated[bool, typer.Option("--gone", help="The records are gone at the source already.")] = False,
) -> None:
    """Take a request in."""
    from ebbing.cli.erasures import add

    said = {
        "basis": basis,
        "subject": subject,
        "reason": reason,
        "received": received,
        "due": due,
        "reference": reference,
        "gone": gone,
    }
    add(folder, said, list(record or ()), records, alike)


@request.command("import")
def request_import(
    table: Annotated[Path, typer.Argument(help="A .csv with a header, or .jsonl: basis, subject or records, ...")],
    folder: Folder = HERE,
    strict: Annotated[bool, typer.Option("--strict", help="Take none where any row is wrong.")] = False,
) -> None:
    """Take requests in from a table; rows that are wrong are told by line, and end with exit code 2."""
    from ebbing.cli.erasures import import_requests

    raise typer.Exit(import_requests(folder, table, strict=strict))


@request.command("list")
def request_list(
    folder: Folder = HERE,
    state: Annotated[list[str] | None, typer.Option(help="Only these states; repeatable.")] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only open ones that were due before today.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    after: Annotated[int, typer.Option(help="Only those with a higher number.", min=0)] = 0,
) -> None:
    """List requests."""
    from ebbing.cli.erasures import list_requests

    list_requests(folder, tuple(state or ()), overdue=overdue, limit=limit, after=after)


@request.command("show")
def request_show(number: Number, folder: Folder = HERE) -> None:
    """Show a request with what was done for it and which records that stay are like its own, as JSON."""
    from ebbing.cli.erasures import show_request

    show_request(folder, number)


@ledger.command()
def process(
    folder: Folder = HERE,
    number: Annotated[list[int] | None, typer.Option("--request", help="Only these requests; repeatable.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many together, those due first.", min=1)] = None,
    purge: Annotated[
        bool, typer.Option("--purge/--no-purge", help="Purge what is past its retention afterwards.")
    ] = True,
    executor: ExecutorName = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            help="References retrained at once; by default what ledger.json says, with --executor ray as many as there is room "
            "for.",
            min=1,
        ),
    ] = None,
    address: Address = None,
    cpus_per_run: CpusPerRun = None,
    gpus_per_run: GpusPerRun = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, say what would be done, and stop.")
    ] = False,
) -> None:
    """Have the current model forget the records of the requests that were received, and judge the result."""
    from ebbing.cli.erasing import run_process

    run_process(
        folder,
        tuple(number) if number else None,
        limit,
        workers=workers_named(
            executor, workers=workers or 0, address=address, cpus_per_run=cpus_per_run, gpus_per_run=gpus_per_run
        ),
        purge=purge,
        dry_run=dry_run,
    )


@ledger.command()
def decide(
    number: Number,
    decision: Annotated[
        Literal["close", "retrain", "retry", "fail"],
        typer.Argument(help="Accept the result, retrain from scratch, process once more, or give up."),
    ],
    by: By,
    reason: Reason,
    folder: Folder = HERE,
) -> None:
    """Decide on a request that needs a decision, or that failed; `fail` gives up one that waits as well."""
    from ebbing.cli.erasures import decide_on

    decide_on(folder, number, decision, by=by, reason=reason)


@ledger.command()
def abandon(by: By, reason: Reason, folder: Folder = HERE) -> None:
    """Give up the batch that is open, where it cannot be finished; its requests fail, and `decide ... retry` takes them up."""
    from ebbing.cli.erasures import give_up

    give_up(folder, by=by, reason=reason)


@ledger.command()
def redact(number: Number, by: By, folder: Folder = HERE) -> None:
    """Take the personal fields of a finished request away; `verify` then says redacted, not tampered."""
    from ebbing.cli.erasures import redact_request

    redact_request(folder, number, by=by)


@ledger.command()
def rekey(
    key: Annotated[
        str, typer.Argument(help="A file for the new key, made if it is missing; a relative one is beside ledger.json.")
    ],
    by: By,
    reason: Reason,
    folder: Folder = HERE,
) -> None:
    """Sign evidence with another key from now on; the key before vouches for it."""
    from ebbing.cli.erasures import change_key

    change_key(folder, key, by=by, reason=reason)


@ledger.command()
def verify(
    folder: Folder = HERE,
    public_key: Annotated[
        str | None, typer.Option(help="The public key, kept elsewhere: 64 hexadecimal digits.")
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="A head that an earlier check printed; it must be in the chain.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="What `export` wrote, in the place of a ledger: no more is needed.")
    ] = None,
) -> None:
    """Check chain, signatures, tables, weights and reports; exit code 3 if anything is not as it was written."""
    from ebbing.cli.erasures import verify_all, verify_exported

    if export is not None:
        raise typer.Exit(verify_exported(export, public_key, head))
    raise typer.Exit(verify_all(folder, public_key, head))


@ledger.command()
def export(
    folder: Folder = HERE,
    exclude: Annotated[
        bool, typer.Option("--exclude", help="Only the keys that must never be trained on again, one a line.")
    ] = False,
    personal: Annotated[bool, typer.Option("--personal", help="With personal fields and record ids.")] = False,
    out: Annotated[Path | None, typer.Option(help="A file; standard output if it is not named.")] = None,
) -> None:
    """Write the ledger as JSON, or the keys of all forgotten records."""
    from ebbing.cli.erasures import export_all

    export_all(folder, out, exclude=exclude, personal=personal)


@ledger.command()
def check(
    dataset: Annotated[str, typer.Argument(help="pkg.mod:data, or a file of keys, one a line.")],
    folder: Folder = HERE,
    keys: Annotated[str | None, typer.Option(help="pkg.mod:keys of a data set that is not the ledger's own.")] = None,
) -> None:
    """Look for forgotten records in a data set, by key and by content; exit code 3 if there are any."""
    from ebbing.cli.erasures import check_keys

    path = Path(dataset)
    if path.is_file():
        raise typer.Exit(check_keys(folder, path))
    from ebbing.cli.erasing import check_dataset

    raise typer.Exit(check_dataset(folder, dataset, keys))


@ledger.command()
def where(number: Number, folder: Folder = HERE) -> None:
    """List every version of the model, retrained reference and cache that was trained on a request's records."""
    from ebbing.cli.erasures import show_where

    show_where(folder, number)


@ledger.command()
def purge(
    folder: Folder = HERE,
    days: Annotated[int | None, typer.Option(help="Of retention; ledger.json's if it is not said.", min=0)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and stop.")] = False,
) -> None:
    """Take away what was trained on records of closed requests, once their retention is over."""
    from ebbing.cli.erasures import run_purge

    run_purge(folder, days, dry_run=dry_run)

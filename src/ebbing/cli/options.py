"""Options that several commands have, in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

LARGEST_SEED = 2**62  # torch takes a little more, but each retrained model adds to it

Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        help="Runs at once, in a process of one thread each; 0 does them in this one, with --executor ray as many as there is "
        "room for.",
        min=0,
    ),
]

Measures = Annotated[
    Literal["quick", "standard", "full"],
    typer.Option(
        "--measures",
        help="What is measured beside the verdict: predictions and margins; attacks record by record, figures over several "
        "models, rounded weights; what was planted before training.",
    ),
]

Technical = Annotated[
    bool, typer.Option("--technical", help="Add factors of units, likeness of layers, and where predictions moved.")
]
ShowExamples = Annotated[
    bool,
    typer.Option("--show-examples", help="Put forgotten records into the report, as pictures. It has none otherwise."),
]

Attacks = Annotated[
    list[str] | None,
    typer.Option(
        "--attack", help="pkg.mod:Name, a membership attack of your own beside the standard ones; repeatable."
    ),
]

Download = Annotated[
    bool, typer.Option("--download/--no-download", help="Fetch MNIST or Fashion-MNIST where their files are nowhere.")
]

# The user's own model and data, the same for every command that takes them
ModelName = Annotated[str, typer.Option("--model", help="pkg.mod:build, what makes the network.")]
DataName = Annotated[str, typer.Option("--data", help="The full training set: pkg.mod:train_set, or files.")]
HoldoutName = Annotated[
    str, typer.Option("--holdout", help="Unseen data, pkg.mod:test_set or files; split by the seed.")
]
ForgetFile = Annotated[Path, typer.Option("--forget", help="File of ids, one a line: positions, or keys with --keys.")]
KeysName = Annotated[str | None, typer.Option("--keys", help="pkg.mod:keys, a key for each training record.")]
ExcludeFile = Annotated[Path | None, typer.Option("--exclude", help="File of ids forgotten before, kept out too.")]
MatchedName = Annotated[
    str | None, typer.Option("--matched", help="pkg.mod:like, unseen records drawn as those to forget were.")
]
ViewName = Annotated[
    str | None,
    typer.Option("--training-view", help="pkg.mod:augmented, --data as training reads it, record by record."),
]
TaskName = Annotated[
    str | None, typer.Option("--task", help="pkg.mod:task; ebbing:BinaryClassification for one logit.")
]
Share = Annotated[
    float, typer.Option("--validation-share", help="Part of --holdout that methods may look at.", min=0, max=0.9)
]
OverlapRule = Annotated[
    Literal["refuse", "drop", "allow"],
    typer.Option("--overlap", help="Unseen records that equal training records: refuse if over 1 %, drop, or allow."),
]
AllowPt = Annotated[bool, typer.Option("--allow-pt", help="Read .pt weights too, by torch.load(weights_only=True).")]
Received = Annotated[
    str | None, typer.Option("--received", help="When the request came in, YYYY-MM-DD, for the report.")
]
FailIf = Annotated[str | None, typer.Option("--fail-if", help="Outcomes, by commas, that end with exit code 3.")]
Seed = Annotated[int, typer.Option("--seed", help="Of everything that is drawn.", min=0, max=LARGEST_SEED)]
Threads = Annotated[int | None, typer.Option("--threads", help="Of torch; by default torch's own choice.", min=1)]
Retrained = Annotated[
    list[Path] | None,
    typer.Option("--retrained", help="Weights retrained without the records, or a folder of them; repeatable."),
]

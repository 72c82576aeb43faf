"""Where runs go, by options: what is refused, and what is said without Ray."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from ebbing import LocalExecutor, RayExecutor
from ebbing.cli.checks import device_named
from ebbing.errors import InputError

RUN = ("run", "--model", "digits-mlp", "--train-size", 200, "--oracles", 1)
BANK = ("bank", "train", "--model", "digits-mlp", "--train-size", 200, "--oracles", 1)


@pytest.mark.parametrize(
    "words", [RUN, BANK, ("bench", "run", "--dry-run"), ("reproduce", "--dry-run")], ids=lambda w: w[0]
)
def test_without_ray_one_line_says_what_to_install(call, with_ray, tmp_path, words) -> None:
    with_ray(False)
    said = call(*words, "--executor", "ray", "--out", tmp_path / "out")
    assert said.code == 2
    assert said.err == "Error: the executor `ray` needs Ray, which is not installed: pip install 'ebbing[ray]'.\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [RUN, BANK], ids=lambda w: w[0])
def test_options_of_ray_without_ray_are_refused(call, tmp_path, words) -> None:
    said = call(*words, "--address", "there:1", "--gpus-per-run", "0.5", "--out", tmp_path / "out")
    assert said.code == 2
    assert "--address and --gpus-per-run must come with --executor ray, but the executor is local." in said.err
    assert not (tmp_path / "out").exists()


def test_a_ledger_is_told_alike(call, with_ray, tmp_path) -> None:
    """Before the ledger is opened, which is not there."""
    with_ray(False)
    process = ("ledger", "process", "--ledger", tmp_path / "ledger")
    assert "which is not installed: pip install 'ebbing[ray]'." in call(*process, "--executor", "ray").err
    assert "--cpus-per-run must come with --executor ray" in call(*process, "--cpus-per-run", 2).err


def test_who_computes_is_said_before(call, with_ray, tmp_path) -> None:
    with_ray(True)
    places = ("--results", tmp_path / "results", "--out", tmp_path / "out", "--dry-run")
    bench = ("bench", "run", "--task", "digits-random5-cnn/v1", "--method", "ebb", *places)
    for words, expected in (
        (("--workers", 1), "in 1 process."),
        (("--workers", 3), "in 3 processes."),
        (("--executor", "ray"), "by Ray."),
        (("--executor", "ray", "--workers", 3), "by Ray, 3 at once."),
    ):
        assert expected in call(*bench, *words).out


def test_all_that_is_wrong_is_said_at_once(with_ray) -> None:
    with_ray(True)
    with pytest.raises(InputError) as caught:
        RayExecutor(0, "ray://head:10001", cpus_per_run=-1, gpus_per_run=1.5, retries=-1)
    for finding in ("but is 0;", "but is -1;", "but is 1.5;", "but is -1;", "'ray://head:10001' is Ray Client's"):
        assert finding in str(caught.value)
    with pytest.raises(InputError, match="both 0"):
        RayExecutor(cpus_per_run=0)
    with pytest.raises(InputError, match="at least 1 process, but is 0"):
        LocalExecutor(0)


BENCH = ("bench", "run", "--task", "digits-random5-cnn/v1", "--method", "ebb", "--dry-run")
LEDGER = ("--weights", "model.safetensors", "--model", "project:build", "--data", "project:train_set")
ON_GPUS = ("--executor", "ray", "--gpus-per-run", 0.5)


@pytest.mark.parametrize(
    "words", [(*RUN, "--device", "cpu"), BANK, (*BANK, "--device", "cpu"), BENCH], ids=lambda w: " ".join(map(str, w))
)
def test_gpus_that_no_run_would_use_are_refused(call, with_ray, tmp_path, words) -> None:
    """`bank train` and `bench run` take a processor without a word."""
    with_ray(True)
    said = call(*words, *ON_GPUS, "--out", tmp_path / "out")
    assert said.code == 2
    assert said.err == (
        "Error: --gpus-per-run must come with a --device that runs use their GPUs by, but it is 'cpu': they would be kept and "
        "left idle. Say --device cuda, or leave --gpus-per-run out.\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [RUN, (*BANK, "--device", "cuda"), (*BENCH, "--device", "cuda")],
    ids=lambda w: " ".join(map(str, w)),
)
def test_runs_on_gpus_need_one_where_the_command_runs(call, with_ray, tmp_path, monkeypatch, words) -> None:
    with_ray(True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = call(*words, *ON_GPUS, "--out", tmp_path / "out")
    assert said.code == 2
    assert "--gpus-per-run must be given where the command itself finds a GPU" in said.err
    assert not (tmp_path / "out").exists()


def test_a_bank_that_is_trained_together_goes_to_no_cluster(call, with_ray, tmp_path) -> None:
    with_ray(True)
    said = call(*BANK, "--together", 3, "--executor", "ray", "--out", tmp_path / "out")
    assert said.code == 2
    assert "--together 3 trains in one process: leave --workers and --executor out." in said.err


def test_with_a_gpu_here_runs_are_meant_for_gpus(with_ray, monkeypatch) -> None:
    with_ray(True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_named("auto", workers=RayExecutor(gpus_per_run=0.5)) == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for elsewhere in (RayExecutor(), LocalExecutor(2), 2, None):
        assert device_named("auto", workers=elsewhere) == "cpu"


def test_a_function_of_the_users_decides_itself_what_it_runs_on(unlearn, call, folder, with_ray, monkeypatch) -> None:
    """It may use the GPUs of the nodes that its runs go to, also from a node without one."""
    with_ray(True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = unlearn("--dry-run", *ON_GPUS, train_fn="project:train", oracles=16)
    assert said.code == 0, said


def test_a_ledger_asks_for_a_gpu_alike(call, folder, with_ray, monkeypatch) -> None:
    with_ray(True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name, trained, told in (
        ("one", ("--recipe", "epochs=2"), "finds a GPU"),
        ("two", ("--train-fn", "project:train"), "Nothing was done: --dry-run."),
    ):
        made = call("ledger", "init", "--ledger", name, *LEDGER, "--holdout", "project:test_set", *trained)
        assert made.code == 0, made
        said = call("ledger", "process", "--ledger", name, *ON_GPUS, "--dry-run")
        assert told in said.out + said.err, said


def test_what_runs_on_processors_alone_has_no_option_for_gpus(call, tmp_path) -> None:
    said = call("reproduce", *ON_GPUS, "--dry-run", "--out", tmp_path / "out")
    assert said.code == 2
    assert "No such option" in said.err


BY_RAY = ("--executor", "ray", "--address", "there:1", "--cpus-per-run", 2)


def test_references_of_one_request_go_where_is_said(unlearn, by_ray) -> None:
    said = unlearn(*BY_RAY, train_fn="project:train", oracles=2)
    assert said.code == 0, said
    (executor, items, folders), *other = by_ray
    assert (executor, len(items)) == (RayExecutor(address="there:1", cpus_per_run=2.0), 2)
    assert folders, "a folder that is not shared would be found out too late"
    assert not other


def test_the_grid_of_the_paper_goes_where_is_said(call, by_ray, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("ebbing.cli.reproduce._fetch", lambda *_: None)
    made = []
    monkeypatch.setattr("ebbing.cli.reproduce.make_cells", lambda *_, workers: made.append(workers) or [])
    call("reproduce", "--quick", *BY_RAY, "--results", tmp_path / "results", "--out", tmp_path / "out")
    assert made == [RayExecutor(address="there:1", cpus_per_run=2.0)]


@pytest.mark.ray
def test_a_cluster_that_does_not_answer_is_said(ray_there, monkeypatch) -> None:
    import ray

    def init(**_: object) -> None:
        raise ConnectionError("Failed to connect to Ray cluster at there:1")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError, match=r"must answer at there:1, but none does: Failed to connect"):
        list(RayExecutor(address="there:1").compute(len, None, [1]))


@pytest.mark.ray
def test_a_cluster_that_asks_for_a_token_says_so(ray_there, monkeypatch) -> None:
    import ray

    def init(**_: object) -> None:
        raise ray.exceptions.AuthenticationError("no authentication token was found.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(
        InputError, match=r"must let ebbing in, but says: no authentication token was found.*RAY_AUTH_TOKEN"
    ):
        list(RayExecutor(address="there:1").compute(len, None, [1]))


def test_nothing_needs_ray_that_does_not_use_it() -> None:
    code = (
        "import sys, ebbing as eb, ebbing.cli.bank; eb.LocalExecutor(1), eb.RayExecutor; sys.exit('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

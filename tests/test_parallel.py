"""One model on two processes is the model of one. What starts them is slow, and run by name, in CI as well."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.utils.data import TensorDataset

import ebbing as eb
from ebbing.errors import InputError
from ebbing.parallel import Ranks, _current, share_of_batches

SCRIPT = Path(__file__).parent / "shared_out.py"
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]  # `accelerate launch` is this on GPUs
PER_PROCESS = ("dropout", "own", "held here, in parts", "refused, in parts")


def run(folder: Path, *, processes: int) -> subprocess.CompletedProcess[str]:
    """The script on so many processes; what one process wrote, several read."""
    several = [*LAUNCH, str(processes)] if processes > 1 else []
    return launched([*several, str(SCRIPT), str(folder), str(folder.parent / "1")])


def launched(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Python with a command, with one thread a process and without what watches this one."""
    quiet = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTEST"))}
    return subprocess.run(
        [sys.executable, *command],
        env=quiet | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
    """What one process gives, and each of two."""
    pytest.importorskip("accelerate")
    pytest.importorskip("transformers")
    figures, parent = {}, tmp_path_factory.mktemp("processes")
    for processes in (1, 2):
        folder = parent / str(processes)
        folder.mkdir()
        done = run(folder, processes=processes)
        assert done.returncode == 0, done.stderr[-3000:]
        for rank in range(processes):
            figures[f"{rank} of {processes}"] = dict(np.load(folder / f"process-{rank}.npz"))
        figures[f"weights of {processes}"] = load_file(folder / "gpt.safetensors")
    return figures


@pytest.mark.slow
def test_two_processes_train_rank_unlearn_and_observe_as_one(found) -> None:
    alone = found["0 of 1"]
    assert len(alone) > 20
    for name, value in alone.items():
        if name == "neg-grad-plus examples":  # the forgotten records beside each batch are read by both
            assert found["0 of 2"][name] > value
        elif name not in PER_PROCESS:
            for rank in (0, 1):
                np.testing.assert_allclose(found[f"{rank} of 2"][name], value, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_both_processes_have_the_same_bits(found) -> None:
    one, other = found["0 of 2"], found["1 of 2"]
    for name in one.keys() - {"own"}:
        assert np.array_equal(one[name], other[name]), name


@pytest.mark.slow
def test_dropout_draws_otherwise_on_each_process(found) -> None:
    one, other = found["0 of 2"]["own"], found["1 of 2"]["own"]
    assert one.shape == other.shape == (10, 36)
    assert 0.3 < (one == other).mean() < 0.7


@pytest.mark.slow
def test_what_was_stored_is_found_again_by_all(found) -> None:
    for name, figures in found.items():
        if not name.startswith("weights"):
            assert not figures["reused"]
            assert figures["found again"]


@pytest.mark.slow
def test_what_is_said_to_lie_in_parts_does(found) -> None:
    whole = found["0 of 1"]["blocks, in parts"]
    assert found["0 of 1"]["held here, in parts"] == 0  # one process holds all of it
    here = [found[f"{rank} of 2"]["held here, in parts"] for rank in (0, 1)]
    assert sum(here) == whole
    assert max(here) < 0.6 * whole


@pytest.mark.slow
def test_methods_that_are_compared_in_parts_did_something(found) -> None:
    compared = {n: v for n, v in found["0 of 2"].items() if n.startswith(("bert", "gpt,"))}
    models = {name: value for name, value in compared.items() if "read" not in name}
    assert len(models) == 9
    for (_, one), (name, other) in combinations(models.items(), 2):
        assert one.shape != other.shape or np.abs(one - other).max() > 1e-4, name  # ten times what may differ


@pytest.mark.slow
def test_weights_that_lay_in_parts_are_plain_ones(found) -> None:
    one, two = found["weights of 1"], found["weights of 2"]
    assert {name: (value.dtype, value.shape) for name, value in one.items()} == {
        name: (value.dtype, value.shape) for name, value in two.items()
    }
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_what_cannot_lie_in_parts_is_refused(found) -> None:
    for rank in (0, 1):
        said = found[f"{rank} of 2"]["refused, in parts"].tolist()
        for sentence, wanted in zip(
            said,
            (
                "must be the same on every process",
                "L1Sparse asks",
                "BadTeacher takes",
                "a step that fails",
                "'1' normalise",
            ),
            strict=True,
        ):
            assert wanted in sentence


@pytest.mark.slow
def test_accelerate_is_heeded_where_it_was_told_to_shard(tmp_path) -> None:
    script = tmp_path / "says.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport ebbing as eb\nfrom ebbing.parallel import current\n"
        "with eb.data_parallel():\n    found = current()\n"
        "    Path(sys.argv[1], str(found.rank)).write_text(f'{found.size} {found.layout is not None}')\n"
    )
    launch = ["-m", "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1"]
    for how, wanted in ((["--use_fsdp", "--fsdp_version", "2"], "2 True"), (["--multi_gpu"], "2 False")):
        done = launched([*launch, *how, str(script), str(tmp_path)])
        assert done.returncode == 0, done.stderr[-2000:]
        assert [(tmp_path / rank).read_text() for rank in ("0", "1")] == [wanted] * 2
    refused = launched([*launch, "--use_fsdp", str(script), str(tmp_path)])  # version 1
    assert refused.returncode != 0
    assert "--fsdp_version 2" in refused.stderr


@pytest.mark.parametrize("processes", [2, 3, 7])
def test_shares_of_batches_are_the_batches(processes) -> None:
    order = torch.randperm(23)
    cuts = [(0, 10), (10, 20), (20, 23)]
    read: list[list[int]] = [[], [], []]
    for rank in range(processes):
        token = _current.set(Ranks(rank, processes, None))
        try:
            places, parts, counts = share_of_batches(order, cuts)
        finally:
            _current.reset(token)
        assert parts[0][0] == 0
        assert all(stop == start for (_, stop), (start, _) in pairwise(parts))
        for batch, (start, stop), counted in zip(read, parts, counts, strict=True):
            assert stop > start
            batch += places[start:stop].tolist() if counted else []
    assert read == [order[start:stop].tolist() for start, stop in cuts]


def test_workers_and_shared_models_are_not_mixed(tmp_path) -> None:
    token = _current.set(Ranks(0, 2, None))
    try:
        with pytest.raises(InputError, match="Leave `workers` out"):
            bank(tmp_path)
    finally:
        _current.reset(token)


@pytest.mark.parametrize("method", [eb.RMU(), eb.BadTeacher(), eb.UNSIR()])
def test_methods_whose_steps_would_be_others_are_refused(method) -> None:
    data = TensorDataset(torch.randn(12, 4), torch.arange(12) % 2)
    unseen = TensorDataset(torch.randn(6, 4) + 9, torch.arange(6) % 2)
    request = eb.ForgetRequest.from_ids(data, range(0, 12, 2), holdout=unseen)  # a whole class
    token = _current.set(Ranks(0, 2, None))  # which cannot do anything
    try:
        with pytest.raises(InputError, match=f"those of one, but {type(method).__name__}"):
            method.unlearn(tiny(), request)
    finally:
        _current.reset(token)


def test_a_whole_model_on_another_device_than_its_process_is_refused() -> None:
    """What PyTorch says of it does not name the way out."""
    ranks = Ranks(0, 2, SimpleNamespace(device=torch.device("cuda", 0)))  # which cannot do anything
    with (
        pytest.raises(InputError, match=r'lie on its device, cuda, but lies on cpu\. .*device="cuda"'),
        ranks.wrapped(tiny()),
    ):
        pass


@pytest.fixture
def in_bfloat16():
    """An accelerator of one process, as ``accelerate launch --mixed_precision bf16`` makes them."""
    accelerate = pytest.importorskip("accelerate")
    state = accelerate.state.AcceleratorState
    state._reset_state(reset_partial_state=True)
    yield accelerate.Accelerator(cpu=True, mixed_precision="bf16")
    state._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("forward", [None, lambda x: 2 * x])
def test_precision_of_accelerate_ends_with_the_training(in_bfloat16, forward) -> None:
    """What is measured afterwards would be in bfloat16 otherwise, in every copy of the model as well."""
    model, seen = torch.nn.Sequential(tiny()), []
    model[0].register_forward_hook(lambda module, given, said: seen.append(said.dtype))
    if forward is not None:
        model.forward = forward  # its own, which nobody may take away
    before = set(vars(model))
    for _ in range(2):
        with Ranks(0, 2, in_bfloat16).wrapped(model) as whole:
            whole(torch.randn(3, 4))
    model(torch.randn(3, 4))
    assert seen == ([] if forward else [torch.bfloat16, torch.bfloat16, torch.float32])
    assert set(vars(model)) == before
    assert forward is None or model.forward is forward


def test_precision_that_needs_losses_to_be_scaled_is_refused() -> None:
    half = SimpleNamespace(num_processes=2, process_index=0, mixed_precision="fp16", state=SimpleNamespace())
    with (
        pytest.raises(InputError, match=r"must be bf16 or none, but is fp16\. .*eb\.MixedPrecision"),
        eb.data_parallel(half),
    ):
        pass


def bank(folder: Path) -> object:
    """References of a tiny request, by two workers."""
    data = TensorDataset(torch.randn(12, 4), torch.arange(12) % 2)
    request = eb.ForgetRequest.from_ids(data, [0, 1], holdout=TensorDataset(torch.randn(6, 4) + 9, torch.arange(6) % 2))
    trainer = eb.Trainer(tiny, eb.Recipe(epochs=1))
    return eb.OracleBank(trainer, request, directory=folder).train(2, workers=2)


def tiny() -> torch.nn.Module:
    return torch.nn.Linear(4, 2)

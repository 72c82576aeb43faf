"""``ebbing bank``: trains by a pool, lists, verifies, prunes."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from ebbing import ray_pool
from ebbing.store import ModelStore

TRAIN = ("bank", "train", "--model", "digits-mlp", "--recipe", "epochs=1", "--train-size", 200, "--workers", 2)


def test_a_bank_is_trained_once_listed_verified_and_pruned(call, tmp_path) -> None:
    first = call(*TRAIN, "--oracles", 3, "--originals", 1, "--out", tmp_path)
    assert first.code == 0, first
    assert "4 trained" in first.out
    assert "4 to train, 0 are there: how long it takes is known when the first is there." in first.out
    again = call(*TRAIN, "--oracles", 4, "--originals", 1, "--out", tmp_path)
    assert "1 trained" in again.out
    assert "4 found again" in again.out
    assert re.search(r"1 to train, 4 are there: about [\d,]+ s left\.", again.out)
    listing = call("bank", "list", tmp_path)
    assert "1000-1003" in listing.out
    assert "5 models in" in listing.out
    assert call("bank", "verify", tmp_path).out == "5 of 5 models are sound.\n"

    store = ModelStore(tmp_path / "models")
    key = store.entries()[0].key
    content = bytearray(store.path(key).read_bytes())
    content[-3] ^= 1  # one bit of one weight
    store.path(key).write_bytes(content)
    found = call("bank", "verify", tmp_path)
    assert found.code == 2
    assert f"{key}.safetensors: not what was written" in found.out
    old = tmp_path / "models" / ".ebbing-0123.partial"  # as a writer that is killed leaves it
    old.mkdir()
    (old / "x.safetensors").write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert "1 torn; 1 abandoned while written would be taken away" in call("bank", "prune", tmp_path, "--dry-run").out
    assert store.path(key).exists()
    assert "1 torn; 1 abandoned while written taken away" in call("bank", "prune", tmp_path).out
    assert not store.path(key).exists()
    assert not old.exists()
    assert "nothing taken away" in call("bank", "prune", tmp_path / "models").out


def test_what_prune_takes_from_a_cluster_at_work_is_made_again_and_what_is_touched_is_left(call, tmp_path) -> None:
    with ray_pool._marked([tmp_path]) as (mark,):
        late = time.time() - 2 * ray_pool.MARKS_FOR
        os.utime(mark, (late, late))
        assert "nothing taken away" in call("bank", "prune", tmp_path).out
        mark.rmdir()
        ray_pool._touch([mark])
        assert time.time() - mark.stat().st_mtime < ray_pool.MARKS_FOR
    assert not mark.exists()


def test_a_flipped_bit_is_never_taken_for_the_model(call, tmp_path, caplog) -> None:
    call(*TRAIN, "--oracles", 1, "--originals", 0, "--out", tmp_path)
    (path,) = (tmp_path / "models").iterdir()
    sound = path.read_bytes()
    path.write_bytes(sound[:-3] + bytes([sound[-3] ^ 1]) + sound[-2:])
    said = call(*TRAIN, "--oracles", 1, "--originals", 0, "--out", tmp_path)
    assert "1 trained" in said.out
    assert path.read_bytes()[-500:] == sound[-500:]
    assert "its weights are not those that were written" in caplog.text


def test_what_a_run_needs_is_found_in_the_bank(call, tmp_path) -> None:
    settings = ("--model", "digits-mlp", "--recipe", "epochs=1", "--train-size", 200, "--out", tmp_path)
    call(*TRAIN, "--oracles", 2, "--originals", 1, "--out", tmp_path)
    before = {p.name for p in (tmp_path / "models").iterdir()}
    said = call("run", *settings, "--oracles", 2, "--method", "do-nothing", "--threads", 1)
    assert said.code == 0, said
    assert before < {p.name for p in (tmp_path / "models").iterdir()}
    assert len(list((tmp_path / "models").iterdir())) == len(before) + 1  # the method's result alone


@pytest.mark.parametrize("command", ["list", "verify", "prune"])
def test_a_folder_that_is_no_bank_is_refused(command: str, call, tmp_path) -> None:
    said = call("bank", command, tmp_path / "absent")
    assert said.code == 2
    assert "must be a folder of stored models" in said.err
    assert not Path(tmp_path / "absent").exists()


def test_a_bank_trained_together_is_found_by_a_run_that_says_so(call, tmp_path) -> None:
    of_both = ("--model", "digits-mlp", "--recipe", "epochs=1", "--train-size", 200, "--together", 3, "--out", tmp_path)
    said = call("bank", "train", "--oracles", 4, *of_both)
    assert said.code == 0, said.err
    assert "5 trained" in said.out
    again = call("bank", "train", "--oracles", 4, *of_both)
    assert "0 trained, 5 found again" in again.out


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--workers", 2), "--together 3 trains in one process"), (("--model", "small-resnet"), "running")],
)
def test_what_cannot_be_trained_together_is_said_before_anything_is_trained(call, tmp_path, words, said) -> None:
    found = call("run", "--together", 3, *words, "--out", tmp_path / "run")
    assert found.code == 2
    assert said in found.err
    assert not (tmp_path / "run").exists()

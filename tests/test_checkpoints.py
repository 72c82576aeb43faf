"""The user's weights: what is read, what is refused and leaves no trace, and what a crash leaves behind."""

from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import signal
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

from ebbing.checkpoints import (
    SCHEMA,
    WeightsRecord,
    digest_of,
    read_record,
    read_weights,
    record_path,
    write_record,
    write_weights,
)
from ebbing.errors import InputError
from ebbing.fingerprint import of_model

DIGEST = "0123456789abcdef" * 2


def cnn(*, seed: int = 0, width: int = 4) -> nn.Module:
    """A network whose running statistics differ from those it was made with."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    for _ in range(seed + 2):
        model(torch.randn(5, 1, 5, 5))
    return model


class Tied(nn.Module):
    """A language model in small: the last layer shares the embedding, and a buffer shares its transpose."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed = nn.Embedding(7, 3)
        self.norm = nn.LayerNorm(3)
        self.head = nn.Linear(3, 7)
        self.head.weight = self.embed.weight
        self.register_buffer("across", self.embed.weight.detach().t())


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "w.safetensors"


def names_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def refused(path: Path, match: str, *, model: nn.Module | None = None, allow_pt: bool = False) -> str:
    """The message with which the weights are refused; the model keeps every bit and its mode."""
    model = model if model is not None else cnn(seed=9)
    model.train()
    before = of_model(model)
    with pytest.raises(InputError, match=match) as caught:
        read_weights(path, model, allow_pt=allow_pt)
    assert of_model(model) == before
    assert model.training
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    return message


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("make", [cnn, Tied, small])
def test_weights_come_back_bit_for_bit(path, make) -> None:
    model, other = make(seed=0), make(seed=1)
    assert of_model(other) != of_model(model)
    write_weights(path, model)
    other.train()
    assert read_weights(path, other) == []
    assert of_model(other) == of_model(model)  # running statistics and num_batches_tracked too
    assert not other.training
    assert names_in(path.parent) == ["w.safetensors", "w.safetensors.json"]


def test_tied_weights_are_written_once_and_stay_tied(path) -> None:
    model, other = Tied(0), Tied(1)
    write_weights(path, model)
    assert path.stat().st_size < 7 * 3 * 4 + 13 * 4 + 600
    read_weights(path, other)
    assert other.head.weight is other.embed.weight
    assert other.across.data_ptr() == other.embed.weight.data_ptr()
    assert torch.equal(other.across, model.embed.weight.t())


@pytest.mark.parametrize("kept", ["embed.weight", "head.weight", "across"])
def test_any_one_of_tied_weights_will_do(path, kept) -> None:
    model, other = Tied(0), Tied(1)
    state = {
        n: t.contiguous() for n, t in model.state_dict().items() if n not in ("embed.weight", "head.weight", "across")
    }
    save_file(state, path)
    assert "3 missing ('across'; 'embed.weight'; 'head.weight')" in refused(path, "must be the 6", model=Tied(2))
    save_file(state | {kept: model.state_dict()[kept].contiguous()}, path)
    assert read_weights(path, other) == []
    assert of_model(other) == of_model(model)


@pytest.mark.parametrize("make", [cnn, Tied])
def test_files_of_others_are_read(path, make) -> None:
    model, other = make(seed=0), make(seed=1)
    if make is Tied:
        del model.across, other.across  # safetensors' own writer cannot take a transposed view
    save_model(model, str(path))
    assert read_weights(path, other) == []
    assert of_model(other) == of_model(model)


def test_what_is_tied_in_the_model_must_be_one_in_the_file(path) -> None:
    state = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in Tied(0).state_dict().items()}
    save_file(state, path)
    assert read_weights(path, Tied(1)) == []  # all three, all the same
    save_file(state | {"head.weight": state["head.weight"] + 1}, path)
    refused(path, "the model ties them, and the file has two values for one tensor", model=Tied(1))


def test_a_layout_in_memory_of_its_own_is_no_matter(path) -> None:
    model = cnn(width=6).to(memory_format=torch.channels_last)
    model[4].weight = nn.Parameter(model[4].weight.detach().t().contiguous().t())
    whole = torch.randn(4, 3)
    model[4].bias = nn.Parameter(whole[2])  # part of a larger storage
    assert not model[4].weight.is_contiguous()
    write_weights(path, model)
    plain, last = cnn(seed=1, width=6), cnn(seed=2, width=6).to(memory_format=torch.channels_last)
    for other in (plain, last):
        strides = [p.stride() for p in other.parameters()]
        read_weights(path, other)
        assert of_model(other) == of_model(model)
        assert [p.stride() for p in other.parameters()] == strides


def test_a_part_of_another_tensor_is_not_tied_to_it(path) -> None:
    class Parts(nn.Linear):
        """Two buffers that begin where the weight does, and hold less of it."""

        def __init__(self) -> None:
            super().__init__(4, 4)
            self.register_buffer("a_row", self.weight.detach()[:1])
            self.register_buffer("a_column", self.weight.detach()[:, 0])

    model, other = Parts(), Parts()
    write_weights(path, model)
    assert read_weights(path, other) == []
    assert of_model(other) == of_model(model)
    save_file({"a_row": torch.ones(1, 4), "bias": torch.ones(4)}, path)
    refused(path, r"there are 2 missing \('a_column'; 'weight'\)", model=other)


def test_parameters_stay_the_same_objects_on_the_same_device(path) -> None:
    write_weights(path, cnn())
    other = cnn(seed=1)
    other[0].weight.requires_grad_(False)
    before = [(id(p), p.data_ptr(), p.device, p.requires_grad) for p in other.parameters()]
    read_weights(path, other)
    assert [(id(p), p.data_ptr(), p.device, p.requires_grad) for p in other.parameters()] == before


def test_the_same_weights_give_the_same_bytes(path) -> None:
    model = Tied()
    record = write_weights(path, model)
    assert write_weights(path.with_name("again"), model).weights == record.weights
    assert write_weights(path.with_name("other"), Tied(1)).weights != record.weights


def test_a_state_that_cannot_be_kept_is_refused(path) -> None:
    write_weights(path, small())
    with torch.device("meta"):
        meta = nn.Linear(3, 2)
    for model in (meta, nn.LazyLinear(2)):
        with pytest.raises(InputError, match=r"2 of 2 are not \('weight'; 'bias'\)"):
            write_weights(path.with_name("new"), model)
        with pytest.raises(InputError, match="2 of 2 are not"):
            read_weights(path, model)
    with pytest.raises(InputError, match=r"dtype that safetensors knows, but some are torch\.complex128"):
        write_weights(path.with_name("new"), nn.Linear(2, 2, dtype=torch.complex128))
    assert names_in(path.parent) == ["w.safetensors", "w.safetensors.json"]


# ---------------------------------------------------------------- what is no file of weights


def test_what_is_not_there_is_refused(path) -> None:
    refused(path, f"there is no {path}. Check the path.")
    refused(path / "below", "there is no")
    path.symlink_to("nowhere")
    refused(path, "there is no")
    refused(path.with_name("n" * 300), "File name too long")


def test_what_is_no_file_is_refused(path) -> None:
    refused(path.parent, "is a folder")
    os.mkfifo(path)
    refused(path, "is a pipe or a device")
    refused(Path("/dev/zero"), "is a pipe or a device")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_refused(path) -> None:
    write_weights(path, cnn())
    path.chmod(0)
    refused(path, "Permission denied")


def header(content: object) -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"\x08", "cut short, damaged or something else"),
        (b"weights", "cut short, damaged or something else"),
        (b"\xff" * 64, "cut short, damaged or something else"),
        (b"(dp0\nS'a'\np1\n.", "cut short, damaged or something else"),
        (header({}), "holds none"),
        (header({"__metadata__": {"format": "pt"}}), "holds none"),
        (header(b'{"a":' + b"[" * 9999), "cut short, damaged or something else"),
        (header({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}), "overflow"),
        (header({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}) + b"1234", "F99"),
        (header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}) + b"12345", "cut short, damaged"),
        (header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}) + b"123", "cut short, damaged"),
    ],
)
def test_what_holds_no_whole_tensors_is_refused(path, content, match) -> None:
    path.write_bytes(content)
    for allow_pt in (False, True):
        refused(path, match, allow_pt=allow_pt)


def test_a_file_cut_short_anywhere_is_refused(path) -> None:
    write_weights(path, small())
    whole = path.read_bytes()
    model = small(1)
    before = of_model(model)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_weights(path, model)
    assert of_model(model) == before


@pytest.mark.parametrize("length", [0x80, 0x280, 0x480, 0x4B50])
def test_a_header_whose_length_looks_like_a_pickle_or_a_zip_is_none(path, length) -> None:
    model = small()
    write_weights(path, model)
    whole = path.read_bytes()
    size = struct.unpack("<Q", whole[:8])[0]
    names = json.loads(whole[8 : 8 + size])
    names["__metadata__"] = {}
    if length == 0x80:  # too short for this model: one tensor alone
        model, names = (
            nn.Linear(1, 1, bias=False),
            {"weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}},
        )
        data = model.weight.detach().numpy().tobytes()
    else:
        data = whole[8 + size :]
    path.write_bytes(header(json.dumps(names).encode().ljust(length)) + data)
    assert path.read_bytes()[:2] in (b"\x80\x00", b"\x80\x02", b"\x80\x04", b"PK")
    assert read_weights(path, model) == []


# ---------------------------------------------------------------- pickles


class Bomb:
    """A pickle that makes a file when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.mark),)


WRITERS: dict[str, Callable[[object, Path], None]] = {
    "zip": lambda what, path: torch.save(what, path),
    "legacy": lambda what, path: torch.save(what, path, _use_new_zipfile_serialization=False),
    "pickle 2": lambda what, path: path.write_bytes(pickle.dumps(what, protocol=2)),
    "pickle 4": lambda what, path: path.write_bytes(pickle.dumps(what, protocol=4)),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors", "weights"])
def test_a_pickle_is_known_by_its_content_and_nothing_of_it_is_run(tmp_path, kind, name) -> None:
    path, mark = tmp_path / name, tmp_path / "it ran"
    WRITERS[kind]({"0.weight": Bomb(mark)}, path)
    message = refused(path, "must be a file of safetensors")
    assert ("a zip archive" if kind == "zip" else "a pickle") in message
    assert "convert it with safetensors.torch.save_model, or pass --allow-pt" in message
    assert not mark.exists()
    message = refused(path, "must", allow_pt=True)
    assert not mark.exists()
    if kind in ("zip", "legacy"):
        assert f"asks for '{os.mkdir.__module__}.mkdir'" in message
        assert "Nothing of it was run" in message
        torch.load(path.rename(tmp_path / "w"), weights_only=False)  # the control: the bomb is a live one
    else:
        pickle.loads(path.read_bytes())
    assert mark.exists()


@pytest.mark.parametrize("make", [cnn, Tied])
@pytest.mark.parametrize("kind", ["zip", "legacy"])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_state_dict_of_torch_save_is_read_where_it_is_allowed(tmp_path, make, kind, name) -> None:
    model, other = make(seed=0), make(seed=1)
    WRITERS[kind](model.state_dict(), tmp_path / name)
    refused(tmp_path / name, "can run code when it is opened. Nothing of it was", model=make(seed=2))
    assert read_weights(tmp_path / name, other, allow_pt=True) == []
    assert of_model(other) == of_model(model)


def test_safetensors_are_read_as_such_where_pickles_are_allowed(path) -> None:
    model, other = cnn(), cnn(seed=1)
    write_weights(path, model)
    path = path.rename(path.with_name("w.pt"))
    assert read_weights(path, other, allow_pt=True) == []
    assert of_model(other) == of_model(model)


def test_a_whole_pickled_module_is_refused(tmp_path) -> None:
    torch.save(cnn(), tmp_path / "w.pt")
    message = refused(tmp_path / "w.pt", "asks for 'torch.nn.modules", allow_pt=True)
    assert "weights_only=False" not in message  # torch's own advice


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_the_weights_of_a_checkpoint_are_found_under_the_usual_names(tmp_path, key) -> None:
    model, other = cnn(), cnn(seed=1)
    rest = {"epoch": 3, "optimizer": torch.optim.Adam(model.parameters()).state_dict(), "loss": torch.tensor(1.0)}
    torch.save(rest | {key: model.state_dict()}, tmp_path / "w.pt")
    notes = read_weights(tmp_path / "w.pt", other, allow_pt=True)
    assert notes == [f"the weights were taken from '{key}' of the checkpoint; the rest of it was left alone"]
    assert of_model(other) == of_model(model)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"state_dict": {"a": torch.ones(1)}, "model": {"a": torch.ones(1)}}, "holds 2: state_dict, model"),
        ({"epoch": 3, "a": torch.ones(1)}, r"1 of 2 entries are something else \('epoch'\)"),
        ({"net": {"a": torch.ones(1)}}, r"1 of 1 entries are something else \('net'\)"),
        ({"model": {"model": {"a": torch.ones(1)}}}, r"1 of 1 entries are something else \('model'\)"),
        ({3: torch.ones(1)}, r"1 of 1 entries are something else \(3\)"),
        ({str(i): i for i in range(9)}, r"9 of 9 .* \('0'; '1'; '2'; '3'; '4'; and 4 more\)"),
        ([torch.ones(1)], "lies an object of type list"),
        (torch.ones(1), "lies an object of type Tensor"),
        ({}, "holds none"),
        ({"model": {}}, "holds none"),
        (OrderedDict(state_dict=None), "1 of 1 entries"),
    ],
)
def test_a_checkpoint_without_one_set_of_weights_is_refused(tmp_path, content, match) -> None:
    torch.save(content, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", match, allow_pt=True)


def test_tensors_that_are_not_plain_are_refused(tmp_path) -> None:
    state = nn.Linear(3, 3).state_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sparse layouts are in beta, quantised tensors on their way out
        for weight in (
            torch.eye(3).to_sparse(),
            torch.eye(3).to_sparse_csr(),
            torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8),
        ):
            torch.save(state | {"weight": weight}, tmp_path / "w.pt")
            refused(tmp_path / "w.pt", r"1 of another kind \('weight'", model=nn.Linear(3, 3), allow_pt=True)


def test_an_archive_that_unpacks_to_another_size_is_refused(tmp_path) -> None:
    torch.save(cnn().state_dict(), tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt") as old, zipfile.ZipFile(tmp_path / "z", "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    refused(tmp_path / "z", "compressed, which torch.save never is", allow_pt=True)


@pytest.mark.parametrize(
    ("place", "bits", "checksum", "match"),
    [(38, b"\x10", None, "marked as a folder"), (20, bytes(4), bytes(4), "compressed, which torch.save never is")],
    ids=["marked as a folder", "said to be empty"],
)
def test_an_entry_that_torch_would_not_read_is_refused(tmp_path, place, bits, checksum, match) -> None:
    path = tmp_path / "w.pt"
    torch.save(small().state_dict(), path)
    content = bytearray(path.read_bytes())
    entry = content.rfind(b"w/data/0") - 46  # in the directory at the end of the archive
    assert content[entry : entry + 4] == b"PK\x01\x02"
    content[entry + place : entry + place + len(bits)] = bits
    if checksum is not None:
        content[entry + 16 : entry + 20] = checksum
    path.write_bytes(content)
    refused(path, match, model=small(1), allow_pt=True)


def test_an_old_checkpoint_whose_tensors_are_not_all_listed_is_refused(tmp_path) -> None:
    path = tmp_path / "w.pt"
    WRITERS["legacy"](small().state_dict(), path)
    content = path.read_bytes()
    start = content.rfind(b"\x80\x02]q\x00(")  # the list of keys, the last pickle before the tensors
    path.write_bytes(content[:start] + pickle.dumps([], protocol=2) + content[content.find(b"e.", start) + 2 :])
    assert torch.load(path).keys() == small().state_dict().keys()  # the control: torch hands out what memory held
    refused(path, "the list of its tensors ends before they do", model=small(1), allow_pt=True)


def test_a_flipped_weight_in_an_archive_is_seen(tmp_path) -> None:
    path, model = tmp_path / "w.pt", small()
    torch.save(model.state_dict(), path)
    content = bytearray(path.read_bytes())
    content[content.find(model[0].weight.detach().numpy().tobytes()) + 1] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path)["0.weight"], model[0].weight)  # the control: torch does not see it
    refused(path, "differs from its checksum", model=small(1), allow_pt=True)


# ---------------------------------------------------------------- names, shapes, kinds and values


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module.module."])
@pytest.mark.parametrize("kind", ["safetensors", "zip"])
def test_the_prefix_of_a_wrapper_is_taken_off(path, prefix, kind) -> None:
    model, other = cnn(), cnn(seed=1)
    state = {f"{prefix}{name}": tensor for name, tensor in model.state_dict().items()}
    save_file(state, path) if kind == "safetensors" else torch.save({"model": state}, path)
    notes = read_weights(path, other, allow_pt=True)
    assert notes[-1] == f"'{prefix}' was taken off the names of all 9 tensors: the weights of a wrapped model"
    assert of_model(other) == of_model(model)


def test_a_prefix_that_is_the_models_own_is_left(path) -> None:
    model, other = nn.DataParallel(cnn()), nn.DataParallel(cnn(seed=1))
    write_weights(path, model)
    assert read_weights(path, other) == []
    assert of_model(other) == of_model(model)
    save_file({f"module.{name}": tensor for name, tensor in model.state_dict().items()}, path)
    assert len(read_weights(path, other)) == 1


def test_a_prefix_of_some_names_only_is_no_wrapper(path) -> None:
    state = {f"module.{name}": tensor for name, tensor in small().state_dict().items()}
    save_file(state | {"extra": torch.ones(1)}, path)
    refused(path, r"7 missing \(.*\); 8 unexpected \('extra'; 'module.0.bias'", model=small())


def test_every_misfit_is_counted_and_the_first_are_named(path) -> None:
    state = cnn().state_dict()
    wrong = {name: state[name] for name in ("0.weight", "1.num_batches_tracked")}
    wrong |= {"1.running_mean": torch.zeros(4, dtype=torch.int32), "4.weight": torch.zeros(3, 3)}
    wrong |= {f"extra.{i}": torch.zeros(1) for i in range(7)}
    save_file(wrong, path)
    message = refused(path, "must be the 9 of the model, but there are")
    assert "5 missing ('0.bias'; '1.bias'; '1.running_var'; '1.weight'; '4.bias');" in message
    assert "7 unexpected ('extra.0'; 'extra.1'; 'extra.2'; 'extra.3'; 'extra.4'; and 2 more);" in message
    assert "1 of another shape ('4.weight': (3, 3) for (3, 36));" in message
    assert "1 of another kind ('1.running_mean': torch.int32 for torch.float32). " in message
    assert message.endswith("Is the model the network that these weights were trained with?")


def test_names_from_a_file_cannot_write_to_the_terminal(path) -> None:
    save_file({"\x1b[2Jgone\n": torch.zeros(1), "x" * 10_000: torch.zeros(1)}, path)
    assert len(refused(path, "2 unexpected")) < 1000  # and printable, which is asked of every message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["0.weight", "1.running_var"])
def test_weights_that_are_not_finite_are_refused(path, value, name) -> None:
    model = cnn()
    state = model.state_dict()
    state[name].view(-1)[1] = value
    save_file(state, path)
    refused(path, rf"must be finite, but 1 of 9 tensors hold NaN or infinite values \('{name}'\)")
    old = path.read_bytes()
    with pytest.raises(InputError, match=rf"the model's weights must be finite, but 1 of 9 .* \('{name}'\)"):
        write_weights(path, model)
    assert path.read_bytes() == old
    assert names_in(path.parent) == ["w.safetensors"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_another_floating_dtype_is_converted_with_a_note(path, dtype) -> None:
    model, other = cnn().to(dtype), cnn(seed=1)
    write_weights(path, model)
    assert read_weights(path, other) == [
        f"8 of 9 tensors were converted from {dtype} to the model's torch.float32"  # not num_batches_tracked
    ]
    assert {p.dtype for p in other.parameters()} == {torch.float32}
    assert of_model(other) == of_model(model.to(torch.float32))


def test_weights_too_large_for_the_dtype_are_refused(path) -> None:
    model = nn.Linear(2, 2)
    nn.init.constant_(model.weight, 1e6)
    write_weights(path, model)
    refused(path, r"1 of 2 tensors hold NaN or infinite values \('weight'\).*too large", model=nn.Linear(2, 2).half())


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("0.weight", torch.int64), ("1.num_batches_tracked", torch.float32), ("1.num_batches_tracked", torch.int32)],
)
def test_integers_and_floats_are_not_converted_into_each_other(path, name, dtype) -> None:
    state = cnn().state_dict()
    save_file(state | {name: state[name].to(dtype)}, path)
    refused(path, f"1 of another kind \\('{name}': {dtype} for")


def test_a_model_that_refuses_its_weights_keeps_its_own(path) -> None:
    class Stubborn(nn.Sequential):
        def _load_from_state_dict(self, *args: object, **kwargs: object) -> None:
            with torch.no_grad():
                self[0].weight.zero_()
            raise RuntimeError("not these")

    write_weights(path, nn.Sequential(nn.Linear(2, 2)))
    refused(path, "refuses them: not these", model=Stubborn(nn.Linear(2, 2)))


# ---------------------------------------------------------------- damaged bytes

DAMAGE = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=3)
CUT = st.one_of(st.just(1.0), st.floats(0, 1))


def damaged(content: bytes, flips: list[tuple[float, int]], cut: float) -> bytes:
    changed = bytearray(content)
    for place, mask in flips:
        changed[int(place * len(changed))] ^= mask
    return bytes(changed[: round(cut * len(changed))])


def parsed(content: bytes) -> dict[str, Tensor]:
    """Safetensors, read by its description and not by the library."""
    size = struct.unpack("<Q", content[:8])[0]
    kinds = {"F32": np.float32, "I64": np.int64, "F64": np.float64, "F16": np.float16}
    found = {}
    for name, what in json.loads(content[8 : 8 + size]).items():
        if name != "__metadata__":
            start, stop = what["data_offsets"]
            values = np.frombuffer(content[8 + size :][start:stop], kinds[what["dtype"]])
            found[name] = torch.from_numpy(values.copy()).reshape(what["shape"])
    return found


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("originals")
    write_weights(folder / "safetensors", small())
    WRITERS["zip"](small().state_dict(), folder / "zip")
    WRITERS["legacy"](small().state_dict(), folder / "legacy")
    return {kind: (folder / kind).read_bytes() for kind in ("safetensors", "zip", "legacy")}


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_damaged_bytes_are_refused_or_rightly_read(originals, tmp_path_factory, kind) -> None:
    path = tmp_path_factory.mktemp("damaged") / "w"

    @settings(max_examples=200, database=None)
    @given(flips=DAMAGE, cut=CUT)
    def check(flips, cut) -> None:
        path.write_bytes(damaged(originals[kind], flips, cut))
        model = small(1)
        before = of_model(model)
        try:
            read_weights(path, model, allow_pt=True)
        except InputError:
            assert of_model(model) == before
            assert flips or cut < 1
            return
        now = model.state_dict()
        if kind == "zip":  # its checksums leave no other weights than those that were written
            right = small().state_dict()
        elif kind == "safetensors":
            right = parsed(path.read_bytes())
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                right = torch.load(path, map_location="cpu", weights_only=True)
        assert now.keys() == right.keys()
        assert all(torch.equal(now[name], right[name].to(now[name].dtype)) for name in now)

    check()


# ---------------------------------------------------------------- the record

FACTS = {
    "data": DIGEST,
    "records": 60_000,
    "forgotten": (0, 17, 59_999),
    "training_seconds": 12.5,
    "made_by": {"method": "Ebb", "seed": 3, "tau": [1, 2.5], "nothing": None},
}


def test_a_record_comes_back_as_it_was_written(path) -> None:
    record = write_weights(path, small(), **FACTS)
    assert record_path(path) == path.parent / "w.safetensors.json"
    assert read_record(path) == record == WeightsRecord(weights=digest_of(path), **FACTS)
    assert digest_of(path) == blake2b(path.read_bytes(), digest_size=16).hexdigest()
    lines = record_path(path).read_text().splitlines()
    assert lines[1] == f'  "schema": "{SCHEMA}",'
    assert len(lines) == 2 + 7  # however many were forgotten
    more = replace(record, forgotten=(), data=None)
    write_record(path, more)
    assert read_record(path) == more


def test_what_is_not_known_is_null(path) -> None:
    record = write_weights(path, small())
    content = json.loads(record_path(path).read_text())
    assert content == {
        "schema": SCHEMA,
        "weights": record.weights,
        "data": None,
        "records": None,
        "forgotten": [],
        "training_seconds": None,
        "made_by": {},
    }
    assert read_record(path) == record


def test_weights_without_a_record_have_none(path) -> None:
    assert read_record(path) is None
    save_model(small(), str(path))
    assert read_record(path) is None


def test_positions_may_come_in_any_order_and_integer_type(path) -> None:
    record = write_weights(path, small(), forgotten=np.array([5, 0, 3]), records=6)
    assert record.forgotten == (0, 3, 5)
    assert {type(place) for place in record.forgotten} == {int}
    assert write_weights(path, small(), forgotten=torch.tensor([2, 1])).forgotten == (1, 2)
    assert write_weights(path, small(), made_by={"ids": (1, 2), 3: "x"}).made_by == {"ids": [1, 2], "3": "x"}


@pytest.mark.parametrize(
    ("facts", "match"),
    [
        ({"data": ""}, "`data` must be a fingerprint or None, but is ''"),
        ({"records": 0}, "`records` must be a whole number >= 1 or None, but is 0"),
        ({"records": True}, "`records`"),
        ({"records": "ten", "forgotten": (1,)}, "`records`"),
        (
            {"forgotten": (1, 1)},
            r"`forgotten` must be positions in \[0, records\), ascending, each once, but is \(1, 1\)",
        ),
        ({"forgotten": (-1, 1)}, "`forgotten`"),
        ({"forgotten": (True,)}, "`forgotten`"),
        ({"forgotten": (0, 6), "records": 6}, "`forgotten`"),
        ({"training_seconds": -1.0}, "`training_seconds` must be seconds >= 0 or None, but is -1.0"),
        ({"training_seconds": float("nan")}, "`training_seconds`"),
        ({"training_seconds": float("inf")}, "`training_seconds`"),
        ({"training_seconds": "1"}, "`training_seconds`"),
        ({"made_by": [1]}, "`made_by` must be a mapping of JSON data"),
        ({"made_by": {"a": float("nan")}}, "`made_by` must be JSON data"),
        ({"made_by": {"a": torch.ones(1)}}, "`made_by` must be JSON data"),
        ({"data": 3, "records": -1}, "`data` .*; `records`"),
    ],
)
def test_what_a_record_cannot_say_is_refused_before_anything_is_written(path, facts, match) -> None:
    with pytest.raises(InputError, match=match):
        write_weights(path, small(), **facts)
    with pytest.raises(InputError, match=match):
        WeightsRecord(DIGEST, **facts)
    assert names_in(path.parent) == []


@pytest.mark.parametrize("digest", ["", "0" * 31, "G" * 32, 5, None])
def test_a_record_without_a_digest_is_refused(digest) -> None:
    with pytest.raises(InputError, match="`weights` must be 32 hexadecimal digits"):
        WeightsRecord(digest)
    with pytest.raises(InputError, match="`forgotten`"):
        WeightsRecord(DIGEST, forgotten=[1])


def test_positions_that_are_no_whole_numbers_are_refused(path) -> None:
    for forgotten in ([1.5], ["1"], [None]):
        with pytest.raises(InputError, match="`forgotten` must be positions, whole numbers"):
            write_weights(path, small(), forgotten=forgotten)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda text: "", "must be JSON text"),
        (lambda text: text[:-9], "must be JSON text"),
        (lambda text: "[" * 100_000, "must be JSON text"),
        (lambda text: "\udcff", "must be JSON text"),
        (lambda text: "[]", "must have the schema"),
        (
            lambda text: text.replace("weights/1", "weights/2"),
            "must have the schema 'ebbing.weights/1', but has 'ebbing",
        ),
        (lambda text: text.replace('"forgotten"', '"forgot"'), r"lacks \['forgotten'\]"),
        (lambda text: text.replace("[0, 17", "[17, 0"), "is damaged: `forgotten`"),
        (lambda text: text.replace("[0, 17", "[0, 17.0"), "is damaged: `forgotten`"),
        (lambda text: text.replace("[0, 17, 59999]", "5"), "is damaged: `forgotten`"),
        (lambda text: text.replace("12.5", "NaN"), "is damaged: `training_seconds`"),
        (lambda text: text.replace("12.5", "1e999"), "is damaged: `training_seconds`"),
        (lambda text: text.replace("60000", "9" * 5000), "must be JSON text"),
        (lambda text: text.replace(", 2.5]", ", NaN]"), "is damaged: `made_by`"),
    ],
)
def test_a_record_that_says_no_such_thing_is_refused(path, change, match) -> None:
    write_weights(path, small(), **FACTS)
    text = change(record_path(path).read_text())
    record_path(path).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=match) as caught:
        read_record(path)
    assert "or delete the record" in str(caught.value)


def test_a_record_of_other_weights_is_refused(path) -> None:
    write_weights(path, small(), **FACTS)
    save_model(small(1), str(path))
    with pytest.raises(InputError, match=r"One of the two was replaced without the other\. Restore"):
        read_record(path)
    path.unlink()
    with pytest.raises(InputError, match="there is no"):
        read_record(path)
    with pytest.raises(InputError, match="there is no"):
        write_record(path, WeightsRecord(DIGEST))
    write_weights(path, small())
    before = record_path(path).read_bytes()
    with pytest.raises(InputError, match="One of the two was replaced"):
        write_record(path, WeightsRecord(DIGEST))
    assert record_path(path).read_bytes() == before


def test_a_folder_in_the_place_of_a_file_is_refused(path) -> None:
    path.mkdir()
    with pytest.raises(InputError, match="must go into files"):
        write_weights(path, small())
    path.rmdir()
    record_path(path).mkdir()
    with pytest.raises(InputError, match="must go into files"):
        write_weights(path, small())
    with pytest.raises(InputError, match="must be JSON text, but cannot be read"):
        read_record(path)
    assert names_in(path.parent) == ["w.safetensors.json"]
    with pytest.raises(InputError, match="must go into files"):
        write_weights(Path("/dev/null"), small())


# ---------------------------------------------------------------- full disks, interruptions and kills


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def full(first: object, second: str, **kwargs: object) -> None:
    """In the place of ``save_file(state, name)``, or of what puts the text of a record into its file."""
    if isinstance(first, dict):
        Path(second).write_bytes(b"half of the wei")
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["writing.save_file", "record.write_text"])
@pytest.mark.parametrize("first", [True, False])
def test_a_full_disk_leaves_the_old_pair_and_no_partial(path, monkeypatch, where, first) -> None:
    if not first:
        write_weights(path, small(), **FACTS)
    before = contents(path.parent)
    monkeypatch.setattr(f"ebbing.checkpoints.{where}", full)
    with pytest.raises(OSError, match="No space left on device"):
        write_weights(path, small(1))
    assert contents(path.parent) == before


@pytest.mark.parametrize("limit", [0, 300, 5_000])
def test_a_file_that_may_not_grow_leaves_the_old_pair(path, limit) -> None:
    write_weights(path, small(), **FACTS)
    before = contents(path.parent)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        with pytest.raises(OSError, match="could not be written") as caught:
            write_weights(path, cnn(width=200))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not isinstance(caught.value, InputError)
    assert contents(path.parent) == before


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, PermissionError])
def test_an_interruption_leaves_the_old_pair(path, monkeypatch, first, at, error) -> None:
    if not first:
        write_weights(path, small(), **FACTS)
        record_path(path).write_bytes(record_path(path).read_bytes() + b"\xff")  # whatever it is, it stays
    before, calls, real = contents(path.parent), [], os.replace

    def interrupted(*args: str) -> None:
        calls.append(args)
        if len(calls) == at:
            raise error
        real(*args)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(error):
        write_weights(path, small(1))
    assert contents(path.parent) == before


def test_both_files_are_flushed_before_either_is_put_in_place(path, monkeypatch) -> None:
    events: list[str] = []

    def noted(name: str, real: Callable[..., None]) -> Callable[..., None]:
        def call(*args: object) -> None:
            events.append(name)
            real(*args)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    write_weights(path, small())
    assert events.index("replace") == 2
    assert events.count("replace") == 2


def killed(at: int, work: Callable[[], object]) -> None:
    """Do the work in a process that is killed before its ``at``-th file is put in place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads, which touch nothing here
        child = os.fork()
    if child == 0:
        with suppress(BaseException):
            real, calls = os.replace, []

            def replace_or_die(*args: str) -> None:
                calls.append(args)
                if len(calls) == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                real(*args)

            os.replace = replace_or_die  # type: ignore[assignment]
            work()
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) == (at <= 2)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0


@pytest.mark.parametrize("before", ["a pair", "weights alone", "nothing"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_kill_never_leaves_a_wrong_record_that_is_taken_for_right(path, at, before) -> None:
    if before != "nothing":
        old = write_weights(path, small(), **FACTS)
    if before == "weights alone":
        record_path(path).unlink()

    def work() -> WeightsRecord:
        return write_weights(path, small(1), forgotten=(1, 2), records=5)

    killed(at, work)
    if at == 1:  # nothing was put in place
        assert read_record(path) == (old if before == "a pair" else None)
        assert path.exists() == (before != "nothing")
    elif at == 2:  # between the two
        with pytest.raises(InputError, match="there is no" if before == "nothing" else "One of the two was replaced"):
            read_record(path)
    if at < 3 and before != "nothing":
        assert digest_of(path) == old.weights
    again = work() if at < 3 else read_record(path)  # a rerun mends it
    assert again is not None
    assert again.forgotten == (1, 2)
    assert read_record(path) == again
    model = small(2)
    read_weights(path, model)
    assert of_model(model) == of_model(small(1))

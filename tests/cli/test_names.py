"""From words to pieces: names, values and settings."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from ebbing import curves, methods, models, rankings, rates
from ebbing.cli.names import find, members, nearest, spelled, value_of, with_setting
from ebbing.curves import Exponential, ForgettingCurve, PowerLaw
from ebbing.errors import InputError
from ebbing.methods import DoNothing, Ebb, ForgettingNetwork, Unlearner
from ebbing.rankings import Activation, Taylor, TopK
from ebbing.rates import FixedRate, LinearRate, RankedRate
from ebbing.training import Recipe

PIECES = {
    **members(curves, ForgettingCurve),
    **members(rankings, rankings.Ranking),
    **members(rates, rates.Rate),
}


def put(piece, setting: str):
    path, _, text = setting.partition("=")
    return with_setting(piece, path.split("."), text, pieces=PIECES, label="it")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Ebb", "ebb"),
        ("ForgettingNetwork", "forgetting-network"),
        ("TopK", "top-k"),
        ("paper_cnn", "paper-cnn"),
        ("RetrainEqualCompute", "retrain-equal-compute"),
    ],
)
def test_spelled(name, words) -> None:
    assert spelled(name) == words


@pytest.mark.parametrize(
    ("family", "base"),
    [(curves, ForgettingCurve), (rankings, rankings.Ranking), (rates, rates.Rate), (methods, Unlearner)],
    ids=["curves", "rankings", "rates", "methods"],
)
def test_members_are_the_concrete_classes_of_a_family(family: ModuleType, base: type) -> None:
    found = members(family, base)
    assert found
    assert base not in found.values()
    exported = {getattr(family, name) for name in family.__all__}
    assert set(found.values()) <= exported
    assert all(spelled(kind.__name__) == name for name, kind in found.items())


def test_members_without_a_base_are_the_functions() -> None:
    assert members(models) == {
        "authors-cnn": models.authors_cnn,
        "cifar-cnn": models.cifar_cnn,
        "digits-cnn": models.digits_cnn,
        "digits-mlp": models.digits_mlp,
        "paper-cnn": models.paper_cnn,
        "resnet18": models.resnet18,
        "resnet18-grey": models.resnet18_grey,
        "small-resnet": models.small_resnet,
        "small-resnet-plain": models.small_resnet_plain,
        "small-vit": models.small_vit,
    }


def test_a_known_name_is_found() -> None:
    assert find("taylor", PIECES, "a piece") is Taylor


def test_an_unknown_name_says_the_nearest() -> None:
    with pytest.raises(InputError, match=r"a piece 'tailor' is unknown\. Did you mean 'taylor'\?"):
        find("tailor", PIECES, "a piece")


def test_where_nothing_is_near_all_are_said() -> None:
    assert nearest("zzz", ["b", "a"]) == "There are a, b."


def test_a_name_from_elsewhere(elsewhere: Path) -> None:
    (elsewhere / "own_piece.py").write_text("class Mine: pass\n")
    assert find("own_piece:Mine", PIECES, "a piece").__name__ == "Mine"


def test_a_name_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here_piece.py").write_text("class Mine: pass\n")
    monkeypatch.setattr(sys, "path", list(sys.path))  # an installed command has no working directory in it
    monkeypatch.chdir(tmp_path)
    assert find("here_piece:Mine", PIECES, "a piece").__name__ == "Mine"


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        (None, "no_such_module:Mine", "cannot be imported .*No module named 'no_such_module'"),
        ("import no_such_module\n", "broken:Mine", "cannot be imported .*No module named 'no_such_module'"),
        ("def (:\n", "broken:Mine", "cannot be imported .*SyntaxError"),
        ("1 / 0\n", "broken:Mine", "cannot be imported .*ZeroDivisionError"),
        ("Mine = 1\n", "broken:Main", "has no 'Main'. Did you mean 'Mine'"),
        (None, "..:Mine", "cannot be imported"),
        (None, "eb:Mine", r"cannot be imported .* Did you mean 'ebb'\?"),
    ],
)
def test_what_cannot_be_imported_is_an_error_of_the_user(source, name, message, elsewhere, monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    if source is not None:
        (elsewhere / "broken.py").write_text(source)
    with pytest.raises(InputError, match=message) as caught:
        find(name, {"ebb": Ebb}, "--method")
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-2.5", -2.5),
        ("1e-3", 1e-3),
        ("inf", float("inf")),
        ("true", True),
        ("False", False),
        ("none", None),
        ("fresh", "fresh"),
        ("'3'", "3"),
        ("('fc1', 'fc2')", ("fc1", "fc2")),
        ("", ""),
        ("fc1,fc2", "fc1,fc2"),
        ("0777", "0777"),
    ],
)
def test_value_of(text, value) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("piece", "setting", "wanted"),
    [
        (Ebb(), "duration=2", Ebb(duration=2.0)),
        (Ebb(), "anchor=zero", Ebb(anchor="zero")),
        (Ebb(), "linear.decay_time=2", Ebb(linear=FixedRate(2.0))),
        (Ebb(), "linear.decay_time=inf", Ebb(linear=FixedRate(float("inf")))),
        (Ebb(), "repair.epochs=3", Ebb(repair=Recipe(**vars(Ebb().repair) | {"epochs": 3}))),
        (Ebb(), "repair.epochs=0.5", Ebb(repair=Recipe(**vars(Ebb().repair) | {"epochs": 0.5}))),
        (Ebb(), "repair.max_examples=none", Ebb(repair=Recipe(**vars(Ebb().repair) | {"max_examples": None}))),
        (Ebb(), "curve=power-law", Ebb(curve=PowerLaw())),
        (Ebb(curve=PowerLaw()), "curve.exponent=2", Ebb(curve=PowerLaw(2.0))),
        (ForgettingNetwork(), "rate=fixed-rate", ForgettingNetwork(rate=FixedRate())),
        (ForgettingNetwork(), "rate.ranking=taylor", ForgettingNetwork(rate=RankedRate(Taylor()))),
        (ForgettingNetwork(), "rate.ranking=top-k", ForgettingNetwork(rate=RankedRate(TopK()))),
        (ForgettingNetwork(), "stop_within=0.1", ForgettingNetwork(stop_within=0.1)),
        (ForgettingNetwork(stop_within=0.1), "stop_within=none", ForgettingNetwork(stop_within=None)),
        (ForgettingNetwork(), "layers=('fc1',)", ForgettingNetwork(layers=("fc1",))),
        (ForgettingNetwork(), "layers=1", ForgettingNetwork(layers="1")),
        (ForgettingNetwork(), "permanent=false", ForgettingNetwork(permanent=False)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_setting(piece, setting, wanted) -> None:
    before = repr(piece)
    assert put(piece, setting) == wanted
    assert repr(piece) == before


def test_a_part_that_is_not_there_yet_is_made() -> None:
    assert put(Ebb(training=None), "training.epochs=3").training == Recipe(epochs=3)


def test_a_chosen_ranking_stays_when_the_law_changes() -> None:
    chosen = ForgettingNetwork(rate=RankedRate(Taylor()))
    assert put(chosen, "rate=linear-rate").rate == LinearRate(Taylor())


def test_a_ranking_that_nobody_chose_goes_with_its_law() -> None:
    # a fixed rate ranks by index, as the ranking does not matter to it; to the next one it does
    assert put(ForgettingNetwork(rate=FixedRate()), "rate=ranked-rate").rate == RankedRate(Activation())


@dataclass(frozen=True)
class Long:
    epochs: float = 1.0


@pytest.mark.parametrize("text", ["3", "3.0", "3e0"])
@pytest.mark.parametrize("now", [5, 5.0])
def test_a_whole_number_is_one_setting_however_it_is_written(text, now) -> None:
    found = put(Long(now), f"epochs={text}").epochs
    assert found == 3
    assert type(found) is type(now)  # as a key of the store, 3 and 3.0 would be two


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("durations=2", r"it has no setting 'durations'\. Did you mean 'duration'\?"),
        ("repair.epoch=2", r"it\.repair has no setting 'epoch'\. Did you mean 'epochs'\?"),
        ("duration.x=2", r"it\.duration has no setting 'x'\. It has none\."),
        ("duration=long", r"it\.duration must be a number, but is 'long'"),
        ("duration=true", r"it\.duration must be a number, but is 'true'"),
        ("duration=none", r"it\.duration must be a number, but is 'none'"),
        ("repair.batch_size=1.5", r"it\.repair\.batch_size must be a whole number, but is '1\.5'"),
        ("repair.batch_size=true", r"it\.repair\.batch_size must be a whole number, but is 'true'"),
        ("repair.max_examples=many", r"it\.repair\.max_examples must be a whole number or none, but is 'many'"),
        ("repair.max_examples=1.5", r"it\.repair\.max_examples must be a whole number or none"),
        ("repair.epochs=0", r"epochs must be > 0"),
        (f"duration={10**400}", r"it\.duration must be a number that a float can hold"),
        ("anchor=old", r"it\.anchor must be 'fresh' or 'zero' or a Callable, but is 'old'"),
        ("curve=power-low", r"it\.curve 'power-low' is unknown\. Did you mean 'power-law'\?"),
        ("curve=taylor", r"it\.curve 'taylor' is unknown\. There are exponential, power-law, step"),
        ("curve=ebbing.rankings:Taylor", r"it\.curve must be a ForgettingCurve, but is .*Taylor"),
        ("curve=ebbing.curves:ForgettingCurve", r"it\.curve must be a ForgettingCurve that can be made"),
        ("repair=3", r"it\.repair is set field by field, such as it\.repair\.epochs="),
        ("linear.decay_time=-1", r"`decay_time` must be >= 0"),
    ],
)
def test_a_setting_that_does_not_fit(setting, message) -> None:
    with pytest.raises(InputError, match=message):
        put(Ebb(), setting)


def test_a_method_without_settings() -> None:
    with pytest.raises(InputError, match=r"it has no setting 'x'\. It has none"):
        put(DoNothing(), "x=1")


@dataclass(frozen=True)
class Picky:
    amount: "Unknown" = 1  # type: ignore[name-defined]  # noqa: F821 - as under TYPE_CHECKING
    curve: ForgettingCurve = field(default_factory=Exponential)

    def __post_init__(self) -> None:
        if self.amount == 13:
            raise ValueError("not\n13")


def test_where_types_cannot_be_read_the_value_says_them() -> None:
    assert put(Picky(), "amount=2").amount == 2
    with pytest.raises(InputError, match=r"it\.amount must be a whole number"):
        put(Picky(), "amount=two")
    assert put(Picky(), "curve=power-law").curve == PowerLaw()


def test_what_a_piece_refuses_is_an_error_of_the_user() -> None:
    with pytest.raises(InputError, match=r"it\.amount cannot be '13' \(not 13\)"):
        put(Picky(), "amount=13")

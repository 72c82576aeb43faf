"""Every exported forgetting curve keeps the contract, and the check sees one that does not."""

from inspect import isabstract, isclass

import pytest
import torch

import ebbing.curves
from ebbing.curves import Exponential, ForgettingCurve, PowerLaw
from ebbing.testing import ContractError, check_curve

EXPORTED = [getattr(ebbing.curves, name) for name in ebbing.curves.__all__]
CURVES = [c for c in EXPORTED if isclass(c) and issubclass(c, ForgettingCurve) and not isabstract(c)]


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.__name__)
def test_it_keeps_the_contract(curve: type[ForgettingCurve]) -> None:
    check_curve(curve())


@pytest.mark.parametrize("exponent", [0.1, 1.0, 7.0])
def test_so_does_every_exponent(exponent: float) -> None:
    check_curve(PowerLaw(exponent=exponent))


# ------------------------------------------------- controls: each breaks one promise, and the check must say which


class Rises(ForgettingCurve):
    """It recovers at age 3."""

    def left(self, age):
        return torch.where((age > 1) & (age < 3), 0.1, (-0.5 * age).exp())


class NeverZero(ForgettingCurve):
    def left(self, age):
        return 0.1 + 0.9 * (-age).exp()


class StartsLower(ForgettingCurve):
    """A unit that is spared decays."""

    def left(self, age):
        return 0.9 * (-age).exp()


class TooLarge(ForgettingCurve):
    def left(self, age):
        return 1.5 * (-age).exp()


class WrongAtTimeZero(Exponential):
    def factor(self, t, tau):
        return 0.5 * super().factor(t, tau)


class NotANumberAtTauZero(Exponential):
    def factor(self, t, tau):
        return (-tau * 0 - t / tau).exp() * (tau / tau)


class Unchecked(Exponential):
    def factor(self, t, tau):
        return (-t / tau).exp() if t else torch.ones_like(tau)


class HasAMemory(Exponential):
    """Its factor is relative to the call before."""

    last = 0.0

    def factor(self, t, tau):
        factor = super().factor(max(t - HasAMemory.last, 0.0), tau)
        HasAMemory.last = t
        return factor


class OneForAll(Exponential):
    def factor(self, t, tau):
        return super().factor(t, tau)[:1]


class ChangesTau(Exponential):
    def factor(self, t, tau):
        factor = super().factor(t, tau)
        tau.add_(1e-3)
        return factor


class OneNumber(ForgettingCurve):
    def left(self, age):
        return torch.tensor(0.5)


class Numbers(ForgettingCurve):
    def left(self, age):
        return (-age).exp().tolist()


CONTROLS = {
    OneNumber: r"must give \(n,\), here \(8,\), but gives \(\)",
    Numbers: "must give a tensor, but gives list",
    Rises: "never rise",
    NeverZero: "factor.t > 0, 0. must be 0",
    StartsLower: "factor.t, inf. must be 1",
    TooLarge: r"in \[0, 1\]",
    WrongAtTimeZero: "factor.0, tau. must be 1",
    NotANumberAtTauZero: r"in \[0, 1\], but at t = 0 \(tau, factor\) are \[\(0.0, nan\)",
    Unchecked: "refused with InputError",
    HasAMemory: "second call differs",
    OneForAll: r"must give \(n,\)",
    ChangesTau: "must not change `tau`",
}


@pytest.mark.parametrize("broken", CONTROLS, ids=lambda broken: broken.__name__)
def test_a_broken_curve_is_rejected(broken: type[ForgettingCurve]) -> None:
    with pytest.raises(ContractError, match=CONTROLS[broken]):
        check_curve(broken())

"""Make a trained PyTorch model forget chosen training data, and measure how far it is from never having seen it."""

from importlib.metadata import version

__version__ = version("ebbing")

from ebbing.audit import AuditReport, audit
from ebbing.bank import OracleBank
from ebbing.errors import DataNotFoundError, InputError
from ebbing.journal import Journal, RunRecord
from ebbing.methods import (
    DoNothing,
    Ebb,
    FineTune,
    ForgettingNetwork,
    RandomUnits,
    Retrain,
    RetrainEqualCompute,
    Temperature,
    Unlearner,
)
from ebbing.observe import Observations, observe
from ebbing.request import ForgetRequest
from ebbing.task import Classification, Task
from ebbing.training import Recipe, Trainer
from ebbing.verdict import Verdict

__all__ = [
    "AuditReport",
    "Classification",
    "DataNotFoundError",
    "DoNothing",
    "Ebb",
    "FineTune",
    "ForgetRequest",
    "ForgettingNetwork",
    "InputError",
    "Journal",
    "Observations",
    "OracleBank",
    "RandomUnits",
    "Recipe",
    "Retrain",
    "RetrainEqualCompute",
    "RunRecord",
    "Task",
    "Temperature",
    "Trainer",
    "Unlearner",
    "Verdict",
    "audit",
    "observe",
]

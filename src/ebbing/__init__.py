"""Make a trained PyTorch model forget chosen training data, and measure how far it is from never having seen it.

Names are loaded when they are first used, so that the command line can answer ``--help`` without loading torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

__version__ = version("ebbing")

if TYPE_CHECKING:
    from ebbing.auditing import AuditReport as AuditReport
    from ebbing.auditing import audit as audit
    from ebbing.bank import OracleBank as OracleBank
    from ebbing.checkpoints import read_weights as read_weights
    from ebbing.checkpoints import write_weights as write_weights
    from ebbing.ensemble import ShardedEnsemble as ShardedEnsemble
    from ebbing.errors import DataNotFoundError as DataNotFoundError
    from ebbing.errors import InputError as InputError
    from ebbing.journal import Journal as Journal
    from ebbing.journal import RunRecord as RunRecord
    from ebbing.language import CausalLM as CausalLM
    from ebbing.methods import CT as CT
    from ebbing.methods import LFSSD as LFSSD
    from ebbing.methods import MSG as MSG
    from ebbing.methods import NPO as NPO
    from ebbing.methods import RMU as RMU
    from ebbing.methods import SCRUB as SCRUB
    from ebbing.methods import SISA as SISA
    from ebbing.methods import SSD as SSD
    from ebbing.methods import UNSIR as UNSIR
    from ebbing.methods import BadTeacher as BadTeacher
    from ebbing.methods import CFk as CFk
    from ebbing.methods import DoNothing as DoNothing
    from ebbing.methods import Ebb as Ebb
    from ebbing.methods import EUk as EUk
    from ebbing.methods import FineTune as FineTune
    from ebbing.methods import ForgettingNetwork as ForgettingNetwork
    from ebbing.methods import L1Sparse as L1Sparse
    from ebbing.methods import NegGrad as NegGrad
    from ebbing.methods import NegGradPlus as NegGradPlus
    from ebbing.methods import PruneReinit as PruneReinit
    from ebbing.methods import RandomLabels as RandomLabels
    from ebbing.methods import RandomUnits as RandomUnits
    from ebbing.methods import Retrain as Retrain
    from ebbing.methods import RetrainEqualCompute as RetrainEqualCompute
    from ebbing.methods import SalUn as SalUn
    from ebbing.methods import SelectivePruning as SelectivePruning
    from ebbing.methods import SimNPO as SimNPO
    from ebbing.methods import TaskVector as TaskVector
    from ebbing.methods import Temperature as Temperature
    from ebbing.methods import Unlearner as Unlearner
    from ebbing.observations import Observations as Observations
    from ebbing.observations import observe as observe
    from ebbing.parallel import data_parallel as data_parallel
    from ebbing.pool import Executor as Executor
    from ebbing.pool import LocalExecutor as LocalExecutor
    from ebbing.precision import MixedPrecision as MixedPrecision
    from ebbing.pretrained import Pretrained as Pretrained
    from ebbing.ray_pool import RayExecutor as RayExecutor
    from ebbing.request import ForgetRequest as ForgetRequest
    from ebbing.sharding import Sharding as Sharding
    from ebbing.task import BinaryClassification as BinaryClassification
    from ebbing.task import Classification as Classification
    from ebbing.task import Task as Task
    from ebbing.training import OwnTrainer as OwnTrainer
    from ebbing.training import Recipe as Recipe
    from ebbing.training import Trainer as Trainer
    from ebbing.verdict import Verdict as Verdict

_HOMES = {
    "auditing": ("AuditReport", "audit"),
    "bank": ("OracleBank",),
    "checkpoints": ("read_weights", "write_weights"),
    "ensemble": ("ShardedEnsemble",),
    "errors": ("DataNotFoundError", "InputError"),
    "journal": ("Journal", "RunRecord"),
    "language": ("CausalLM",),
    "methods": (
        "BadTeacher",
        "CFk",
        "CT",
        "DoNothing",
        "EUk",
        "Ebb",
        "FineTune",
        "ForgettingNetwork",
        "L1Sparse",
        "LFSSD",
        "MSG",
        "NPO",
        "NegGrad",
        "NegGradPlus",
        "PruneReinit",
        "RMU",
        "RandomLabels",
        "RandomUnits",
        "Retrain",
        "RetrainEqualCompute",
        "SCRUB",
        "SISA",
        "SSD",
        "UNSIR",
        "SalUn",
        "SelectivePruning",
        "SimNPO",
        "TaskVector",
        "Temperature",
        "Unlearner",
    ),
    "observations": ("Observations", "observe"),
    "parallel": ("data_parallel",),
    "precision": ("MixedPrecision",),
    "pool": ("Executor", "LocalExecutor"),
    "pretrained": ("Pretrained",),
    "ray_pool": ("RayExecutor",),
    "request": ("ForgetRequest",),
    "sharding": ("Sharding",),
    "task": ("BinaryClassification", "Classification", "Task"),
    "training": ("OwnTrainer", "Recipe", "Trainer"),
    "verdict": ("Verdict",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Load a public name from the module it lives in."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value

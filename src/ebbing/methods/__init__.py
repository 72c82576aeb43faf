"""Unlearning methods, one file each; controls among them are marked as such."""

from ebbing.methods.bad_teacher import BadTeacher
from ebbing.methods.cf_k import CFk
from ebbing.methods.ct import CT
from ebbing.methods.do_nothing import DoNothing
from ebbing.methods.ebb import Ebb
from ebbing.methods.eu_k import EUk
from ebbing.methods.fine_tune import FineTune
from ebbing.methods.forgetting_network import ForgettingNetwork
from ebbing.methods.l1_sparse import L1Sparse
from ebbing.methods.lfssd import LFSSD
from ebbing.methods.msg import MSG
from ebbing.methods.neg_grad import NegGrad
from ebbing.methods.neg_grad_plus import NegGradPlus
from ebbing.methods.npo import NPO, SimNPO
from ebbing.methods.prune_reinit import PruneReinit
from ebbing.methods.random_labels import RandomLabels
from ebbing.methods.random_units import RandomUnits
from ebbing.methods.repair import Repairing
from ebbing.methods.retrain import Retrain, RetrainEqualCompute
from ebbing.methods.rmu import RMU
from ebbing.methods.salun import SalUn
from ebbing.methods.scrub import SCRUB
from ebbing.methods.selective_pruning import SelectivePruning
from ebbing.methods.sisa import SISA
from ebbing.methods.ssd import SSD
from ebbing.methods.task_vector import TaskVector
from ebbing.methods.temperature import Temperature
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.methods.unsir import UNSIR

__all__ = [
    "CT",
    "LFSSD",
    "MSG",
    "NPO",
    "RMU",
    "SCRUB",
    "SISA",
    "SSD",
    "UNSIR",
    "BadTeacher",
    "CFk",
    "DoNothing",
    "EUk",
    "Ebb",
    "FineTune",
    "ForgettingNetwork",
    "L1Sparse",
    "NegGrad",
    "NegGradPlus",
    "PruneReinit",
    "RandomLabels",
    "RandomUnits",
    "Repairing",
    "Retrain",
    "RetrainEqualCompute",
    "Run",
    "SalUn",
    "SelectivePruning",
    "SimNPO",
    "TaskVector",
    "Temperature",
    "Unlearner",
]

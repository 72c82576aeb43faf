"""Membership attacks: pure functions of Observations, one file each."""

from ebbing.attacks.attack import Attack, AttackResult, auc, bootstrap_auc_interval, tpr_at_fpr
from ebbing.attacks.confidence import ConfidenceThreshold
from ebbing.attacks.entropy import EntropyThreshold
from ebbing.attacks.logistic import LossLogistic
from ebbing.attacks.loss import LossThreshold
from ebbing.attacks.modified_entropy import ModifiedEntropyThreshold
from ebbing.attacks.standard import STANDARD, try_attacks, with_standard

__all__ = [
    "STANDARD",
    "Attack",
    "AttackResult",
    "ConfidenceThreshold",
    "EntropyThreshold",
    "LossLogistic",
    "LossThreshold",
    "ModifiedEntropyThreshold",
    "auc",
    "bootstrap_auc_interval",
    "tpr_at_fpr",
    "try_attacks",
    "with_standard",
]

"""Figures of a model against retrained ones: pure functions of observations."""

from ebbing.measures.agreement import prediction_agreement
from ebbing.measures.bands import Band, mean_interval, prediction_band, upper_band
from ebbing.measures.calibration import calibration_gap, expected_calibration_error
from ebbing.measures.canaries import (
    CanaryTest,
    InterclassConfusion,
    canary_power,
    canary_test,
    gaussian_canary_score,
    interclass_confusion,
)
from ebbing.measures.cka import linear_cka
from ebbing.measures.divergence import activation_distance, jensen_shannon, zero_retrain_forgetting
from ebbing.measures.floors import ExampleInterval, Floor, bootstrap_over_examples, floor_of
from ebbing.measures.forgetting_score import ForgettingScore, forgetting_epsilon, forgetting_quality, forgetting_score
from ebbing.measures.gaps import AverageGap, TugOfWarMIA, average_gap, tug_of_war_mia
from ebbing.measures.gates import rounded
from ebbing.measures.hidden import Hidden, hidden, hidden_left_out, kinship, telling_layers
from ebbing.measures.klom import klom, klom_gaussian
from ebbing.measures.margin_gap import standardised_margin_gap
from ebbing.measures.memory import Figures, Others, Reference, bootstrap_memory, figures, left_out, matched_offset
from ebbing.measures.per_example import RiskierShare, per_example_auc, share_riskier, worst_decile_auc
from ebbing.measures.rmia import rmia
from ebbing.measures.salun_mia import salun_mia
from ebbing.measures.streams import (
    cumulative_cost,
    distance,
    order_sensitivity,
    re_emergence,
    re_emergence_bands,
    utility_drift,
)
from ebbing.measures.tug_of_war import share_removed, tug_of_war
from ebbing.measures.u_lira import LikelihoodRatioAttack, u_lira_efficacy, u_lira_privacy

__all__ = [
    "AverageGap",
    "Band",
    "CanaryTest",
    "ExampleInterval",
    "Figures",
    "Floor",
    "ForgettingScore",
    "Hidden",
    "InterclassConfusion",
    "LikelihoodRatioAttack",
    "Others",
    "Reference",
    "RiskierShare",
    "TugOfWarMIA",
    "activation_distance",
    "average_gap",
    "bootstrap_memory",
    "bootstrap_over_examples",
    "calibration_gap",
    "canary_power",
    "canary_test",
    "cumulative_cost",
    "distance",
    "expected_calibration_error",
    "figures",
    "floor_of",
    "forgetting_epsilon",
    "forgetting_quality",
    "forgetting_score",
    "gaussian_canary_score",
    "hidden",
    "hidden_left_out",
    "interclass_confusion",
    "jensen_shannon",
    "kinship",
    "klom",
    "klom_gaussian",
    "left_out",
    "linear_cka",
    "matched_offset",
    "mean_interval",
    "order_sensitivity",
    "per_example_auc",
    "prediction_agreement",
    "prediction_band",
    "re_emergence",
    "re_emergence_bands",
    "rmia",
    "rounded",
    "salun_mia",
    "share_removed",
    "share_riskier",
    "standardised_margin_gap",
    "telling_layers",
    "tug_of_war",
    "tug_of_war_mia",
    "u_lira_efficacy",
    "u_lira_privacy",
    "upper_band",
    "utility_drift",
    "worst_decile_auc",
    "zero_retrain_forgetting",
]

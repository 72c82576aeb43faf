"""Rankings: which units forget first."""

from ebbing.rankings.activation import Activation
from ebbing.rankings.activation_ratio import ActivationRatio
from ebbing.rankings.fisher_ratio import FisherRatio
from ebbing.rankings.index import Index
from ebbing.rankings.inverse import Inverse
from ebbing.rankings.random import Random
from ebbing.rankings.ranking import Ranking, ranks
from ebbing.rankings.small_weights import SmallWeights
from ebbing.rankings.taylor import Taylor
from ebbing.rankings.top_k import TopK
from ebbing.rankings.weight_importance import WeightImportance

__all__ = [
    "Activation",
    "ActivationRatio",
    "FisherRatio",
    "Index",
    "Inverse",
    "Random",
    "Ranking",
    "SmallWeights",
    "Taylor",
    "TopK",
    "WeightImportance",
    "ranks",
]

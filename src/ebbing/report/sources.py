"""What each method, attack, measure, piece and data set goes back to.

Whatever ebbing has stands in one of the tables below, with its sources or with what is ebbing's own about it;
tests/contracts/test_citation_contract.py holds every family to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Where something comes from: keys of the bibliography, and in words what is ebbing's own about it."""

    keys: tuple[str, ...] = ()
    own: str = ""


PAPER = "hatua2024machine"

# By the name of the class, as settings in a report have it
METHODS: Mapping[str, Source] = {
    "BadTeacher": Source(("chundawat2023bad", "hinton2015distilling")),
    "CFk": Source(("goel2022adversarial",)),
    "CT": Source(("triantafillou2024progress", "cadet2024deep")),
    "DoNothing": Source(own="the original as it is, a control"),
    "Ebb": Source((PAPER,), own="decay toward a fresh initialisation, after the paper's forgetting rates"),
    "EUk": Source(("goel2022adversarial",)),
    "FineTune": Source(("golatkar2020eternal",), own="its learning rate follows one cycle"),
    "ForgettingNetwork": Source((PAPER,)),
    "L1Sparse": Source(("jia2023model",), own="its penalty falls from step to step"),
    "LFSSD": Source(("foster2024loss",)),
    "MSG": Source(("triantafillou2024progress", "cadet2024deep")),
    "NegGrad": Source(("golatkar2020eternal",)),
    "NegGradPlus": Source(("kurmanji2023unbounded",)),
    "NPO": Source(("zhang2024negative",)),
    "PruneReinit": Source(
        ("triantafillou2024progress", "cadet2024deep"), own="without class weights and half precision"
    ),
    "RMU": Source(("li2024wmdp", "dang2025effects"), own="all layers up to the one that is misdirected are trained"),
    "RandomLabels": Source(("graves2021amnesiac", "fan2024salun")),
    "RandomUnits": Source((PAPER,), own="the control of its rankings"),
    "Retrain": Source(own="what unlearning is measured by, a control"),
    "RetrainEqualCompute": Source(own="a control"),
    "SCRUB": Source(("kurmanji2023unbounded", "hinton2015distilling")),
    "SISA": Source(("bourtoule2021machine",), own="probabilities are averaged, not votes"),
    "SSD": Source(("foster2024fast",)),
    "SalUn": Source(("fan2024salun",)),
    "SelectivePruning": Source(("pochinkov2024dissecting",), own="activity before the nonlinearity"),
    "SimNPO": Source(("fan2024simplicity",)),
    "TaskVector": Source(("ilharco2023editing",)),
    "Temperature": Source(("guo2017calibration",), own="its use as a control"),
    "UNSIR": Source(("tarun2021fast",), own="noise and records run through the model apart"),
}
SABOTAGE: Mapping[str, Source] = dict.fromkeys(
    (
        *("DistilledHead", "GateOnly", "HalfAndHalf", "JustUnpredicted", "OneStep", "RandomisedLabels", "ReplacedHead"),
        *("UntilUnpredicted", "WeightNoise"),
    ),
    Source(own="a way to look as if a model had forgotten, a control"),
)
PIECES: Mapping[str, Source] = {
    "Activation": Source((PAPER,)),
    "ActivationRatio": Source(("pochinkov2024dissecting",)),
    "Exponential": Source((PAPER, "ebbinghaus1885gedaechtnis")),
    "DampeningRate": Source(("foster2024fast",)),
    "FisherRatio": Source(("golatkar2020eternal", "foster2024fast"), own="by unit, over the retain set"),
    "FixedRate": Source((PAPER,)),
    "Index": Source(own="an arbitrary order"),
    "Inverse": Source(own="the control of a ranking"),
    "LinearRate": Source((PAPER,), own="after the first author's public code"),
    "PowerLaw": Source(("wickelgren1974single",)),
    "Random": Source(own="the control of a ranking"),
    "RankedRate": Source((PAPER,)),
    "Recipe": Source(own="plain training"),
    "SmallWeights": Source(("han2015learning",)),
    "Step": Source(own="all or nothing"),
    "Taylor": Source(("molchanov2019importance",)),
    "TopK": Source((PAPER,)),
    "TopRate": Source(("pochinkov2024dissecting",)),
    "WeightImportance": Source(("foster2024fast", "foster2024loss")),
}
SCHEDULES: Mapping[str, Source] = {"one-cycle": Source(("smith2017super",))}

# By name in a report
ATTACKS: Mapping[str, Source] = {
    "loss": Source(("yeom2018privacy",)),
    "confidence": Source(("salem2019ml",)),
    "entropy": Source(("salem2019ml",)),
    "modified-entropy": Source(("song2021systematic",)),
    "loss-logistic": Source(("triantafillou2024progress",), own="the loss is standardised first"),
}
LOW_RATES = Source(("carlini2022membership",))  # true positives at a low rate of false ones

# By key in a report, without the split
MEASURES: Mapping[str, Source] = {
    "memory": Source(own="memory M and W"),
    "drift": Source(own="drift"),
    "inside": Source(own="readouts, savings and kinship"),
    "tow": Source(("zhao2024what",)),
    "tow-mia": Source(("zhao2024what", "fan2024salun", "jia2023model")),
    "average-gap": Source(("fan2024salun", "jia2023model")),
    "salun-mia": Source(("fan2024salun", "jia2023model")),
    "agreement": Source(own="how often two models predict the same class"),
    "js": Source(("lin1991divergence",)),
    "activation-distance": Source(("chundawat2023bad",), own="in the L1 norm"),
    "ece-gap": Source(("guo2017calibration",), own="the gap to retrained models"),
    "klom": Source(("georgiev2024attribute",)),
    "klom-gaussian": Source(("georgiev2024attribute",), own="the Gaussian form, for few models"),
    "margin-gap": Source(own="the standardised margin gap"),
    "u-lira": Source(("hayes2025inexact", "carlini2022membership")),
    "rmia": Source(("zarifzadeh2024low",)),
    "forgetting-score": Source(("triantafillou2024progress",)),
    "forgetting-score-normalised": Source(("triantafillou2024progress",), own="over the retrained models' own"),
    "worst-decile": Source(("hayes2025inexact",), own="as a figure of its own"),
    "riskier": Source(("hayes2025inexact",), own="as a figure of its own"),
    "int8": Source(("zhang2025catastrophic",), own="for classifiers"),
    "int4": Source(("zhang2025catastrophic",), own="for classifiers"),
    "gate-off": Source(own="what is gated must stay forgotten without the gate"),
    "mislabelled-canaries": Source(own="how often planted wrong labels are still predicted"),
    "interclass-confusion": Source(("goel2022adversarial",)),
    "gaussian-canaries": Source(("pawelczyk2025machine",)),
    "cka": Source(("kornblith2019similarity",)),
}
DATASETS: Mapping[str, Source] = {
    "cifar-10": Source(("krizhevsky2009learning",)),
    "digits": Source(("alpaydin1998optical", "pedregosa2011scikit")),
    "mnist": Source(("lecun1998gradient",)),
    "fashion-mnist": Source(("xiao2017fashion",)),
}
# By how the records were chosen, where that is somebody's idea
KINDS: Mapping[str, Source] = {
    "confusion": Source(("goel2022adversarial",)),
    "gaussian": Source(("pawelczyk2025machine",)),
    "memorised": Source(("feldman2020what",), own="with margins in place of hits"),
}

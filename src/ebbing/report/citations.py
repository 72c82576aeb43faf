"""The bibliography: what each method, attack, measure, piece and data set goes back to, and BibTeX of what a report used.

Whatever ebbing has stands in one of the tables below, with its sources or with what is ebbing's own about it;
tests/contracts/test_citation_contract.py holds every family to that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ebbing import __version__
from ebbing.report.rows import Report, dig, mapping, printable, read_estimate


@dataclass(frozen=True)
class Reference:
    """A work as BibTeX has it.

    Attributes:
        kind: of entry: article, inproceedings, book or misc.
        title: as printed.
        authors: "Family, Given", in order; a group is one name without a comma.
        year: of publication; None where there is none.
        more: further fields, such as ``booktitle``, ``doi``, or ``eprint`` for the number at arXiv.
    """

    kind: str
    title: str
    authors: tuple[str, ...]
    year: int | None
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Where something comes from: keys of `BIBLIOGRAPHY`, and in words what is ebbing's own about it."""

    keys: tuple[str, ...] = ()
    own: str = ""


def _paper(title: str, authors: str, year: int, *, arxiv: str = "", venue: str = "", **more: str) -> Reference:
    """A paper: in proceedings where a venue is given, else at arXiv. Authors are "Given Family" by commas."""
    fields = {"booktitle": venue} if venue else {}
    fields |= more | ({"eprint": arxiv} if arxiv else {})
    return Reference("inproceedings" if venue else "misc", title, _names(authors), year, fields)


def _article(title: str, authors: str, year: int, journal: str, **more: str) -> Reference:
    return Reference("article", title, _names(authors), year, {"journal": journal} | more)


def _names(authors: str) -> tuple[str, ...]:
    """Family names first, from "Given Family" by commas; the words of a family name are joined by "~"."""
    parts = [name.rpartition(" ") for name in authors.split(", ")]
    return tuple(f"{family.replace('~', ' ')}, {given}" for given, _, family in parts)


NEURIPS = "Advances in Neural Information Processing Systems"
ICLR = "International Conference on Learning Representations"
ICML = "International Conference on Machine Learning"
CVPR = "IEEE/CVF Conference on Computer Vision and Pattern Recognition"
AAAI = "AAAI Conference on Artificial Intelligence"

BIBLIOGRAPHY: Mapping[str, Reference] = {
    "alpaydin1998optical": Reference(
        "misc",
        "Optical Recognition of Handwritten Digits",
        ("Alpaydin, Ethem", "Kaynak, Cenk"),
        1998,
        {"howpublished": "UCI Machine Learning Repository", "doi": "10.24432/C50P49"},
    ),
    "carlini2022membership": _paper(
        "Membership Inference Attacks From First Principles",
        "Nicholas Carlini, Steve Chien, Milad Nasr, Shuang Song, Andreas Terzis, Florian Tramèr",
        2022,
        arxiv="2112.03570",
        venue="IEEE Symposium on Security and Privacy",
        doi="10.1109/SP46214.2022.9833649",
    ),
    "chundawat2023bad": _paper(
        "Can Bad Teaching Induce Forgetting? Unlearning in Deep Networks Using an Incompetent Teacher",
        "Vikram S. Chundawat, Ayush K. Tarun, Murari Mandal, Mohan Kankanhalli",
        2023,
        arxiv="2205.08096",
        venue=AAAI,
    ),
    "ebbinghaus1885gedaechtnis": Reference(
        "book",
        "Über das Gedächtnis: Untersuchungen zur experimentellen Psychologie",
        ("Ebbinghaus, Hermann",),
        1885,
        {"publisher": "Duncker & Humblot", "address": "Leipzig"},
    ),
    "fan2024salun": _paper(
        "SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency in Both Image Classification and Generation",
        "Chongyu Fan, Jiancheng Liu, Yihua Zhang, Eric Wong, Dennis Wei, Sijia Liu",
        2024,
        arxiv="2310.12508",
        venue=ICLR,
    ),
    "foster2024fast": _paper(
        "Fast Machine Unlearning without Retraining through Selective Synaptic Dampening",
        "Jack Foster, Stefan Schoepf, Alexandra Brintrup",
        2024,
        arxiv="2308.07707",
        venue=AAAI,
        doi="10.1609/aaai.v38i11.29092",
    ),
    "foster2024loss": _paper(
        "Loss-Free Machine Unlearning",
        "Jack Foster, Stefan Schoepf, Alexandra Brintrup",
        2024,
        arxiv="2402.19308",
    ),
    "georgiev2024attribute": _paper(
        "Attribute-to-Delete: Machine Unlearning via Datamodel Matching",
        "Kristian Georgiev, Roy Rinberg, Sung Min Park, Shivam Garg, Andrew Ilyas, Aleksander Madry, Seth Neel",
        2024,
        arxiv="2410.23232",
    ),
    "goel2022adversarial": _paper(
        "Towards Adversarial Evaluations for Inexact Machine Unlearning",
        "Shashwat Goel, Ameya Prabhu, Amartya Sanyal, Ser-Nam Lim, Philip Torr, Ponnurangam Kumaraguru",
        2022,
        arxiv="2201.06640",
    ),
    "golatkar2020eternal": _paper(
        "Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks",
        "Aditya Golatkar, Alessandro Achille, Stefano Soatto",
        2020,
        arxiv="1911.04933",
        venue=CVPR,
    ),
    "guo2017calibration": _paper(
        "On Calibration of Modern Neural Networks",
        "Chuan Guo, Geoff Pleiss, Yu Sun, Kilian Q. Weinberger",
        2017,
        arxiv="1706.04599",
        venue=ICML,
    ),
    "hatua2024machine": _paper(
        "Machine Unlearning using Forgetting Neural Networks",
        "Amartya Hatua, Trung T. Nguyen, Filip Cano, Andrew H. Sung",
        2024,
        arxiv="2410.22374",
    ),
    "hayes2025inexact": _paper(
        "Inexact Unlearning Needs More Careful Evaluations to Avoid a False Sense of Privacy",
        "Jamie Hayes, Ilia Shumailov, Eleni Triantafillou, Amr Khalifa, Nicolas Papernot",
        2025,
        arxiv="2403.01218",
        venue="IEEE Conference on Secure and Trustworthy Machine Learning",
        doi="10.1109/SaTML64287.2025.00034",
    ),
    "jia2023model": _paper(
        "Model Sparsity Can Simplify Machine Unlearning",
        "Jinghan Jia, Jiancheng Liu, Parikshit Ram, Yuguang Yao, Gaowen Liu, Yang Liu, Pranay Sharma, Sijia Liu",
        2023,
        arxiv="2304.04934",
        venue=NEURIPS,
    ),
    "kornblith2019similarity": _paper(
        "Similarity of Neural Network Representations Revisited",
        "Simon Kornblith, Mohammad Norouzi, Honglak Lee, Geoffrey Hinton",
        2019,
        arxiv="1905.00414",
        venue=ICML,
    ),
    "lecun1998gradient": _article(
        "Gradient-Based Learning Applied to Document Recognition",
        "Yann LeCun, Léon Bottou, Yoshua Bengio, Patrick Haffner",
        1998,
        "Proceedings of the IEEE",
        volume="86",
        number="11",
        pages="2278--2324",
        doi="10.1109/5.726791",
    ),
    "lin1991divergence": _article(
        "Divergence Measures Based on the Shannon Entropy",
        "Jianhua Lin",
        1991,
        "IEEE Transactions on Information Theory",
        volume="37",
        number="1",
        pages="145--151",
        doi="10.1109/18.61115",
    ),
    "molchanov2019importance": _paper(
        "Importance Estimation for Neural Network Pruning",
        "Pavlo Molchanov, Arun Mallya, Stephen Tyree, Iuri Frosio, Jan Kautz",
        2019,
        arxiv="1906.10771",
        venue=CVPR,
    ),
    "pawelczyk2025machine": _paper(
        "Machine Unlearning Fails to Remove Data Poisoning Attacks",
        "Martin Pawelczyk, Jimmy Z. Di, Yiwei Lu, Gautam Kamath, Ayush Sekhari, Seth Neel",
        2025,
        arxiv="2406.17216",
        venue=ICLR,
    ),
    "pedregosa2011scikit": _article(
        "Scikit-learn: Machine Learning in Python",
        "Fabian Pedregosa, Gaël Varoquaux, Alexandre Gramfort, Vincent Michel, Bertrand Thirion, Olivier Grisel, "
        "Mathieu Blondel, Peter Prettenhofer, Ron Weiss, Vincent Dubourg, Jake Vanderplas, Alexandre Passos, "
        "David Cournapeau, Matthieu Brucher, Matthieu Perrot, Édouard Duchesnay",
        2011,
        "Journal of Machine Learning Research",
        volume="12",
        pages="2825--2830",
    ),
    "pochinkov2024dissecting": _paper(
        "Dissecting Language Models: Machine Unlearning via Selective Pruning",
        "Nicholas Pochinkov, Nandi Schoots",
        2024,
        arxiv="2403.01267",
    ),
    "salem2019ml": _paper(
        "ML-Leaks: Model and Data Independent Membership Inference Attacks and Defenses on Machine Learning Models",
        "Ahmed Salem, Yang Zhang, Mathias Humbert, Pascal Berrang, Mario Fritz, Michael Backes",
        2019,
        arxiv="1806.01246",
        venue="Network and Distributed System Security Symposium",
    ),
    "smith2017super": _paper(
        "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
        "Leslie N. Smith, Nicholay Topin",
        2017,
        arxiv="1708.07120",
    ),
    "song2021systematic": _paper(
        "Systematic Evaluation of Privacy Risks of Machine Learning Models",
        "Liwei Song, Prateek Mittal",
        2021,
        arxiv="2003.10595",
        venue="USENIX Security Symposium",
        pages="2615--2632",
    ),
    "triantafillou2024progress": _paper(
        "Are we making progress in unlearning? Findings from the first NeurIPS unlearning competition",
        "Eleni Triantafillou, Peter Kairouz, Fabian Pedregosa, Jamie Hayes, Meghdad Kurmanji, Kairan Zhao, "
        "Vincent Dumoulin, Julio Jacques~Junior, Ioannis Mitliagkas, Jun Wan, Lisheng Sun~Hosoya, Sergio Escalera, "
        "Gintare Karolina Dziugaite, Peter Triantafillou, Isabelle Guyon",
        2024,
        arxiv="2406.09073",
    ),
    "wickelgren1974single": _article(
        "Single-Trace Fragility Theory of Memory Dynamics",
        "Wayne A. Wickelgren",
        1974,
        "Memory & Cognition",
        volume="2",
        number="4",
        pages="775--780",
        doi="10.3758/BF03198154",
    ),
    "xiao2017fashion": _paper(
        "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
        "Han Xiao, Kashif Rasul, Roland Vollgraf",
        2017,
        arxiv="1708.07747",
    ),
    "yeom2018privacy": _paper(
        "Privacy Risk in Machine Learning: Analyzing the Connection to Overfitting",
        "Samuel Yeom, Irene Giacomelli, Matt Fredrikson, Somesh Jha",
        2018,
        arxiv="1709.01604",
        venue="IEEE Computer Security Foundations Symposium",
        pages="268--282",
        doi="10.1109/CSF.2018.00027",
    ),
    "zarifzadeh2024low": _paper(
        "Low-Cost High-Power Membership Inference Attacks",
        "Sajjad Zarifzadeh, Philippe Liu, Reza Shokri",
        2024,
        arxiv="2312.03262",
        venue=ICML,
        pages="58244--58282",
    ),
    "zhang2025catastrophic": _paper(
        "Catastrophic Failure of LLM Unlearning via Quantization",
        "Zhiwei Zhang, Fali Wang, Xiaomin Li, Zongyu Wu, Xianfeng Tang, Hui Liu, Qi He, Wenpeng Yin, Suhang Wang",
        2025,
        arxiv="2410.16454",
        venue=ICLR,
    ),
    "zhao2024what": _paper(
        "What makes unlearning hard and what to do about it",
        "Kairan Zhao, Meghdad Kurmanji, George-Octavian Bărbulescu, Eleni Triantafillou, Peter Triantafillou",
        2024,
        arxiv="2406.01257",
        venue=NEURIPS,
    ),
}

PAPER = "hatua2024machine"

# By the name of the class, as settings in a report have it
METHODS: Mapping[str, Source] = {
    "DoNothing": Source(own="the original as it is, a control"),
    "Ebb": Source((PAPER,), own="decay toward a fresh initialisation, after the paper's forgetting rates"),
    "FineTune": Source(("golatkar2020eternal",), own="its learning rate follows one cycle"),
    "ForgettingNetwork": Source((PAPER,)),
    "RandomUnits": Source((PAPER,), own="the control of its rankings"),
    "Retrain": Source(own="what unlearning is measured by, a control"),
    "RetrainEqualCompute": Source(own="a control"),
    "Temperature": Source(("guo2017calibration",), own="its use as a control"),
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
    "digits": Source(("alpaydin1998optical", "pedregosa2011scikit")),
    "mnist": Source(("lecun1998gradient",)),
    "fashion-mnist": Source(("xiao2017fashion",)),
}


@dataclass(frozen=True)
class Citations:
    """What reports used, and where it comes from.

    Attributes:
        works: by key of the bibliography, what each is cited for.
        own: what is ebbing's own, in words.
        unknown: names of what ebbing has no source of: the user's own pieces, or those of a later version.
        versions: of ebbing that made the reports.
    """

    works: Mapping[str, Sequence[str]]
    own: Sequence[str]
    unknown: Sequence[str]
    versions: Sequence[str]


def citations(reports: Sequence[Report]) -> Citations:
    """Every method, piece, attack, measure and data set with a figure in one of the reports; the paper in any case."""
    works: dict[str, list[str]] = {PAPER: ["forgetting networks"]}
    own: list[str] = []
    unknown: list[str] = []
    for what, source in (found for report in reports for found in _used(report)):
        if source is None:
            _note(unknown, what)
            continue
        for key in source.keys:
            _note(works.setdefault(key, []), what)
        if source.own and not what.startswith("piece "):  # those serve a method that is named
            _note(own, f"{what} ({source.own})")
    versions: list[str] = []
    for report in reports:
        version = str(dig(report, "provenance", "ebbing"))
        _note(versions, version if re.fullmatch(r"\d[\w.+!-]*", version) else __version__)
    return Citations(dict(sorted(works.items())), own, unknown, versions)


def _note(noted: list[str], words: str) -> None:
    if words not in noted:
        noted.append(words)


def _used(report: Report) -> Iterator[tuple[str, Source | None]]:
    """Name and source of everything that a report used; None where there is no source."""
    for name, method in mapping(dig(report, "methods")).items():
        yield from _method(str(name), dig(method, "settings"))
    yield from _trained(dig(report, "provenance", "recipe"))
    dataset = dig(report, "provenance", "dataset")
    if isinstance(dataset, str):
        yield f"data set {dataset}", DATASETS.get(dataset)
    for subject in (dig(report, "original"), *mapping(dig(report, "methods")).values()):
        yield from _measured(subject)


def _method(name: str, settings: object) -> Iterator[tuple[str, Source | None]]:
    """A method by the type of its settings, else by its name, and the pieces inside."""
    known = {**METHODS, **SABOTAGE}
    kind = dig(settings, "type")
    by_name = {_plain(each): each for each in known}
    kind = str(kind) if kind is not None else by_name.get(_plain(name.partition("@")[0].partition(":")[0]), name)
    yield f"method {kind}", known.get(kind)
    for value in mapping(settings).values():
        yield from _pieces(value)


def _plain(name: str) -> str:
    return name.replace("-", "").lower()


def _pieces(value: object) -> Iterator[tuple[str, Source | None]]:
    """Every piece inside settings."""
    if isinstance(value, Mapping):
        kind = value.get("type")
        if isinstance(kind, str):
            yield f"piece {kind}", {**PIECES, **METHODS, **SABOTAGE}.get(kind)
            yield from _trained(value)
        for inner in value.values():
            yield from _pieces(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _pieces(inner)


def _trained(recipe: object) -> Iterator[tuple[str, Source | None]]:
    schedule = dig(recipe, "schedule")
    if isinstance(schedule, str) and schedule in SCHEDULES:
        yield f"{schedule} learning rates", SCHEDULES[schedule]


def _measured(subject: object) -> Iterator[tuple[str, Source | None]]:
    """The attacks and measures that have a figure for a subject."""
    for name, attack in mapping(dig(subject, "attacks")).items():
        if read_estimate(dig(attack, "auc")) is not None or read_estimate(dig(attack, "accuracy")) is not None:
            yield f"attack {name}", ATTACKS.get(str(name))
        if read_estimate(dig(attack, "tpr_at_1pct_fpr")) is not None:
            yield "true positives at a low false-positive rate", LOW_RATES
    for name in ("memory", "drift", "inside"):
        if dig(subject, name) is not None:
            yield f"measure {name}", MEASURES[name]
    if read_estimate(dig(subject, "tow")) is not None:
        yield "measure tow", MEASURES["tow"]
    if dig(subject, "technical", "cka") is not None:
        yield "measure cka", MEASURES["cka"]
    for key, measure in mapping(dig(subject, "measures")).items():
        if read_estimate(dig(measure, "value")) is not None:
            name = str(key).partition("/")[0]
            yield f"measure {name}", MEASURES.get(name)


# ---------------------------------------------------------------- BibTeX


def bibtex(found: Citations) -> str:
    """The works as BibTeX, ebbing's entry first; above each what it is cited for, and on top what has no entry."""
    lines = []
    if found.own:
        lines.append(_comment("ebbing's own, at least in part: " + "; ".join(found.own)))
    if found.unknown:
        lines.append(_comment("no source is known to ebbing, look for one yourself: " + "; ".join(found.unknown)))
    blocks = ["\n".join(lines)] if lines else []
    blocks.append(entry("ebbing", software(found.versions)))
    for key, uses in found.works.items():
        blocks.append(f"{_comment('; '.join(uses))}\n{entry(key, BIBLIOGRAPHY[key])}")
    return "\n\n".join(blocks) + "\n"


def software(versions: Sequence[str]) -> Reference:
    """The entry of ebbing itself, as CITATION.cff has it."""
    said = f"Version{'s' * (len(versions) > 1)} {', '.join(versions)}. Licence: Apache-2.0"
    return Reference(
        "misc", "ebbing", ("The ebbing developers",), None, {"howpublished": "Python library", "note": said}
    )


def entry(key: str, work: Reference) -> str:
    """One work as a BibTeX entry in ASCII; braces keep the title's capitals and a group's name whole."""
    authors = " and ".join(name if "," in name else f"{{{name}}}" for name in work.authors)
    fields = {"title": f"{{{_in_ascii(work.title)}}}", "author": _in_ascii(authors)}
    if work.year is not None:
        fields["year"] = str(work.year)
    for name, value in work.more.items():
        fields[name] = value if name in ("doi", "eprint", "url") else _in_ascii(value)
    if "eprint" in work.more:
        fields["archivePrefix"] = "arXiv"
        if work.kind == "misc":
            fields["howpublished"] = f"arXiv:{work.more['eprint']}"
    inside = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@{work.kind}{{{key},\n{inside}\n}}"


ACCENTS = {
    "\N{LATIN SMALL LETTER A WITH BREVE}": r"{\u{a}}",
    "\N{LATIN SMALL LETTER A WITH DIAERESIS}": r"{\"a}",
    "\N{LATIN SMALL LETTER E WITH ACUTE}": r"{\'e}",
    "\N{LATIN SMALL LETTER E WITH DIAERESIS}": r"{\"e}",
    "\N{LATIN SMALL LETTER E WITH GRAVE}": r"{\`e}",
    "\N{LATIN CAPITAL LETTER E WITH ACUTE}": r"{\'E}",
    "\N{LATIN CAPITAL LETTER U WITH DIAERESIS}": r"{\"U}",
    "&": r"\&",
}


def _in_ascii(text: str) -> str:
    return "".join(ACCENTS.get(character, character) for character in text)


def _comment(words: str) -> str:
    """A line that BibTeX passes over: outside of entries it looks for nothing but an at sign."""
    return "% " + re.sub("@", " at ", printable(words))

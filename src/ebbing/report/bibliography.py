"""The works that ebbing goes back to, as BibTeX has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reference:
    """A work as BibTeX has it.

    Attributes:
        kind: of entry: article, inproceedings, book, misc or techreport.
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
    "bourtoule2021machine": _paper(
        "Machine Unlearning",
        "Lucas Bourtoule, Varun Chandrasekaran, Christopher A. Choquette-Choo, Hengrui Jia, Adelin Travers, Baiwu Zhang, "
        "David Lie, Nicolas Papernot",
        2021,
        arxiv="1912.03817",
        venue="IEEE Symposium on Security and Privacy",
        doi="10.1109/SP40001.2021.00019",
    ),
    "cadet2024deep": _paper(
        "Deep Unlearn: Benchmarking Machine Unlearning",
        "Xavier F. Cadet, Anastasia Borovykh, Mohammad Malekzadeh, Sara Ahmadi-Abhari, Hamed Haddadi",
        2024,
        arxiv="2410.01276",
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
    "dang2025effects": _paper(
        "On Effects of Steering Latent Representation for Large Language Model Unlearning",
        "Huu-Tien Dang, Tin Pham, Hoang Thanh-Tung, Naoya Inoue",
        2025,
        arxiv="2408.06223",
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
    "fan2024simplicity": _paper(
        "Simplicity Prevails: Rethinking Negative Preference Optimization for LLM Unlearning",
        "Chongyu Fan, Jiancheng Liu, Licong Lin, Jinghan Jia, Ruiqi Zhang, Song Mei, Sijia Liu",
        2024,
        arxiv="2410.07163",
    ),
    "feldman2020what": _paper(
        "What Neural Networks Memorize and Why: Discovering the Long Tail via Influence Estimation",
        "Vitaly Feldman, Chiyuan Zhang",
        2020,
        arxiv="2008.03703",
        venue=NEURIPS,
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
    "graves2021amnesiac": _paper(
        "Amnesiac Machine Learning",
        "Laura Graves, Vineel Nagisetty, Vijay Ganesh",
        2021,
        arxiv="2010.10981",
        venue=AAAI,
        pages="11516--11524",
    ),
    "guo2017calibration": _paper(
        "On Calibration of Modern Neural Networks",
        "Chuan Guo, Geoff Pleiss, Yu Sun, Kilian Q. Weinberger",
        2017,
        arxiv="1706.04599",
        venue=ICML,
    ),
    "han2015learning": _paper(
        "Learning both Weights and Connections for Efficient Neural Networks",
        "Song Han, Jeff Pool, John Tran, William J. Dally",
        2015,
        arxiv="1506.02626",
        venue=NEURIPS,
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
    "hinton2015distilling": _paper(
        "Distilling the Knowledge in a Neural Network",
        "Geoffrey Hinton, Oriol Vinyals, Jeff Dean",
        2015,
        arxiv="1503.02531",
    ),
    "ilharco2023editing": _paper(
        "Editing Models with Task Arithmetic",
        "Gabriel Ilharco, Marco Tulio Ribeiro, Mitchell Wortsman, Suchin Gururangan, Ludwig Schmidt, Hannaneh Hajishirzi, "
        "Ali Farhadi",
        2023,
        arxiv="2212.04089",
        venue=ICLR,
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
    "krizhevsky2009learning": Reference(
        "techreport",
        "Learning Multiple Layers of Features from Tiny Images",
        ("Krizhevsky, Alex",),
        2009,
        {"institution": "University of Toronto"},
    ),
    "kurmanji2023unbounded": _paper(
        "Towards Unbounded Machine Unlearning",
        "Meghdad Kurmanji, Peter Triantafillou, Jamie Hayes, Eleni Triantafillou",
        2023,
        arxiv="2302.09880",
        venue=NEURIPS,
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
    "li2024wmdp": _paper(
        "The WMDP Benchmark: Measuring and Reducing Malicious Use with Unlearning",
        "Nathaniel Li, Alexander Pan, Anjali Gopal, others",
        2024,
        arxiv="2403.03218",
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
    "tarun2021fast": _paper(
        "Fast Yet Effective Machine Unlearning",
        "Ayush K. Tarun, Vikram S. Chundawat, Murari Mandal, Mohan Kankanhalli",
        2021,
        arxiv="2111.08947",
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
    "zhang2024negative": _paper(
        "Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning",
        "Ruiqi Zhang, Licong Lin, Yu Bai, Song Mei",
        2024,
        arxiv="2404.05868",
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

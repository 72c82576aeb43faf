"""The membership attack of the SalUn papers, which many tables call just MIA."""

from __future__ import annotations

import numpy as np

from ebbing.errors import InputError


def salun_mia(*, forget: np.ndarray, retain: np.ndarray, test: np.ndarray, seed: int, at_most: int = 10_000) -> float:
    """Share of the forget set that a classifier, fitted to tell retained from test records, calls non-members.

    A support vector machine (C = 3, radial basis function with gamma = 1) on one feature, the probability that the model
    gives the label. Members are retained records, non-members test records, as many of each: the longer side is drawn
    from by the seed. **Its ideal is the value of retrained models, not 50 %** (12.88 % is published for a random tenth of
    CIFAR-10): more is not better. It sees what retained and test records differ in, and says nothing where they do not.

    The label's probability is 1 / (1 + exp(-margin)), ``scipy.special.expit(signals.margin[i])``; ``Signals.confidence``
    is that of the predicted class, another feature. Source: Fan et al. (SalUn), arXiv 2310.12508, with the attack of
    Jia et al., arXiv 2304.04934, appendix C.3; their code takes the first retained records instead of drawn ones.

    Args:
        forget: (n,) label's probability on the forget set, n >= 1.
        retain: (m,) on retained records.
        test: (k,) on test records that nothing was trained on.
        seed: of the draws that balance the classes.
        at_most: records of each class that are fitted to, >= 2. Takes 10 s at 10,000 and .4 s at 2,000 on one core.

    Returns:
        In [0, 1], the share called non-member.

    Raises:
        InputError: if an array is not (n,), is empty or not of probabilities, or fewer than 2 records of a class are left.
    """
    known = {"forget": np.asarray(forget), "retain": np.asarray(retain), "test": np.asarray(test)}
    for name, values in known.items():
        if values.ndim != 1 or not len(values):
            raise InputError(
                f"`{name}` must have shape (n,) with n >= 1, but has {values.shape}. Pass one model's row at a time."
            )
        if not ((values >= 0) & (values <= 1)).all():  # NaN compares as false
            raise InputError(
                f"`{name}` must hold probabilities of the label, in [0, 1], but some are outside or NaN. From margins "
                "they are scipy.special.expit(margin)."
            )
    n = min(len(known["retain"]), len(known["test"]), at_most)
    if n < 2:
        raise InputError(
            f"at least 2 records of each class must be fitted to, but `retain`, `test` and `at_most` leave {n}. Pass more."
        )
    generator = np.random.default_rng(seed)
    members, others = (generator.choice(known[name], n, replace=False) for name in ("retain", "test"))
    feature = np.concatenate((members, others)).astype(np.float64)[:, None]
    from sklearn.svm import SVC  # here, because importing scikit-learn takes a second

    machine = SVC(C=3, kernel="rbf", gamma=1.0).fit(feature, np.repeat([1, 0], n))
    called_member: np.ndarray = machine.predict(known["forget"].astype(np.float64)[:, None])
    return float(1 - called_member.mean())

"""How well codes keep the factors of what they describe apart: disentanglement, completeness, informativeness (DCI).

Source: Eastwood and Williams, A framework for the quantitative evaluation of disentangled representations (ICLR 2018),
also called QEDR; MulMON reports it of slots (mulmon.md 6). Each factor is predicted from all standardised codes; how
much a predictor relies on code i for factor j is R_ij. A code is disentangled where it serves one factor:
D_i = 1 - H_F(P_i) with P_ij = R_ij / sum_k R_ik, entropies to base F. A factor is complete where one code tells it:
C_j = 1 - H_Z(R_.j / sum_i R_ij). D is the mean of D_i weighted by the codes' shares of all importance, C that of C_j.

Decided here, as the paper leaves it open: importances of a factor sum to 1, so that weights of a Lasso and importances
of a forest can stand in one matrix; the Lasso's penalty is chosen by cross-validation, the depth of a forest by the
samples that its trees did not see; every split of a tree may use every code, so that the one code that tells a factor
is not hidden from it. What no code tells, and a code that tells nothing, have score 0; such codes have no weight.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError
from scenewise.metrics.arrays import one_of, reals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

REGRESSORS = ("lasso", "forest")
LEAST = 20
"""Fewest samples: ten to learn from and ten to test on."""
TREES = 50  # of a forest
_DEPTHS, _FOLDS = (2, 4, None), 5


@dataclass(frozen=True)
class Informativeness:
    """How well a factor is predicted on samples that were held out.

    Attributes:
        metric: "accuracy" of categories; "normalised RMSE" of ordered factors: root mean squared error divided by that
            of the mean.
        value: 1 is perfect for an accuracy, 0 for an error.
        baseline: The same of the most frequent category, or of the mean; both are those of the half learned from.
    """

    metric: str
    value: float
    baseline: float


@dataclass(frozen=True)
class Dci:
    """Scores of Z codes and F factors.

    Attributes:
        disentanglement: In [0, 1], mean over codes weighted by what they are used for.
        completeness: In [0, 1], mean over factors.
        informativeness: By the name of the factor.
        importance: R, shape (Z, F), at least 0; columns sum to 1, or are 0 where no code helps.
        by_code: D_i, shape (Z,); 0 where a code is not used.
        by_factor: C_j, shape (F,).
    """

    disentanglement: float
    completeness: float
    informativeness: dict[str, Informativeness]
    importance: np.ndarray
    by_code: np.ndarray
    by_factor: np.ndarray


@dataclass(frozen=True)
class _Half:
    """Codes (n, Z) and one factor (n,) of the samples to learn from or to test on."""

    codes: np.ndarray
    factor: np.ndarray


def dci(
    codes: ArrayLike,
    factors: Mapping[str, ArrayLike],
    *,
    scenes: ArrayLike | None = None,
    regressor: str = "lasso",
    seed: int = 0,
) -> Dci:
    """Measure how codes and factors go together, on halves that are drawn at random.

    Args:
        codes: Floats, shape (N, Z).
        factors: F factors by name, each of shape (N,): floats are ordered, words and whole numbers are categories.
        scenes: The scene of each sample, shape (N,); samples of one scene go to one half. Each its own where None.
        regressor: What predicts ordered factors: "lasso" or "forest"; categories are predicted by a forest.
        seed: Of the halves and the forests.

    Raises:
        InputError: Shapes do not fit, values are NaN or infinite, there are fewer than 20 samples, two codes or two
            factors, ten scenes, a factor is the same everywhere, or scikit-learn is not installed.

    Examples:
        Codes that are the factors in another order:

        >>> numbers = np.random.default_rng(0)
        >>> x, y = numbers.uniform(size=(2, 200))
        >>> scores = dci(np.stack([y, x], 1), {"x": x, "y": y})
        >>> round(scores.disentanglement, 2), round(scores.completeness, 2)
        (1.0, 1.0)
        >>> scores.importance.round(1).tolist()  # code 1 tells x, code 0 tells y
        [[0.0, 1.0], [1.0, 0.0]]
        >>> scores.informativeness["x"].metric
        'normalised RMSE'
    """
    return dci_by((regressor,), codes, factors, scenes=scenes, seed=seed)[regressor]


def dci_by(
    regressors: Sequence[str],
    codes: ArrayLike,
    factors: Mapping[str, ArrayLike],
    *,
    scenes: ArrayLike | None = None,
    seed: int = 0,
) -> dict[str, Dci]:
    """Return what `dci` measures with each of some regressors; categories, which they share, are predicted once.

    Args:
        regressors: Names of regressors, as of `dci`; the other arguments are those of `dci`, too.
        codes: Shape (N, Z).
        factors: F factors by name.
        scenes: Shape (N,).
        seed: Of the halves and the forests.

    Raises:
        InputError: As of `dci`.
    """
    for regressor in regressors:
        one_of(regressor, "regressor", REGRESSORS)
    values, columns = _checked(codes, factors)
    rows = _halves(np.arange(len(values)) if scenes is None else np.asarray(scenes), len(values), seed)
    scaled = _standardised(values, rows[0])
    predictions: dict[tuple[str, str], tuple[Informativeness, np.ndarray]] = {}
    scores = {}
    for regressor in regressors:
        kinds = [(n, regressor if np.issubdtype(c.dtype, np.floating) else "forest") for n, c in columns.items()]
        for name, kind in kinds:
            if (name, kind) not in predictions:
                train, test = (_Half(scaled[half], columns[name][half]) for half in rows)
                predictions[name, kind] = _predicted(train, test, kind, seed)
        information = {name: predictions[name, kind][0] for name, kind in kinds}
        importance = np.stack([predictions[name, kind][1] for name, kind in kinds], 1)  # (Z, F)
        whole = disentanglement(importance), completeness(importance)
        scores[regressor] = Dci(*whole, information, importance, _purity(importance), _purity(importance.T))
    return scores


def disentanglement(importance: ArrayLike) -> float:
    """Return D of an importance matrix R (Z, F): the mean of D_i weighted by the rows' sums; 0 where R is 0.

    Raises:
        InputError: R is no matrix of finite floats that are at least 0, or has a single code or factor.

    Examples:
        >>> disentanglement([[1.0, 0.0], [0.0, 1.0]])  # a code for each factor
        1.0
        >>> disentanglement([[0.5, 0.5], [0.5, 0.5]])  # every code serves both
        0.0
        >>> disentanglement([[1.0, 0.0], [0.5, 0.5]])  # D = (1, 0), equal weights
        0.5
    """
    matrix = _matrix(importance)
    used, total = matrix.sum(1), matrix.sum()
    return float(_purity(matrix) @ used / total) if total > 0 else 0.0


def completeness(importance: ArrayLike) -> float:
    """Return C of an importance matrix R (Z, F): the mean of C_j over factors.

    Raises:
        InputError: As of `disentanglement`.

    Examples:
        >>> completeness([[1.0, 0.0], [0.0, 1.0]])
        1.0
        >>> round(completeness([[1.0, 0.0], [0.5, 0.5]]), 3)  # C = (1 - H(2 / 3, 1 / 3), 1) = (0.082, 1)
        0.541
    """
    return float(_purity(_matrix(importance).T).mean())


def _purity(rows: np.ndarray) -> np.ndarray:
    """Return 1 minus the entropy of each row of (m, n), to base n; 0 where a row is 0."""
    total = rows.sum(1, keepdims=True)
    share = np.divide(rows, total, out=np.full(rows.shape, 1 / rows.shape[1]), where=total > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.asarray((1 + (share * logs).sum(1) / np.log(rows.shape[1])).clip(0, 1))


def _matrix(importance: ArrayLike) -> np.ndarray:
    matrix = reals(importance, "importance").astype(np.float64)
    if matrix.ndim != 2 or min(matrix.shape) < 2:
        raise InputError("importance", f"must have shape (Z, F), 2 or more each; found {matrix.shape}.")
    if (matrix < 0).any():
        raise InputError("importance", f"must be at least 0; found {matrix.min():.4g}.", "Take absolute weights.")
    return matrix


def _checked(codes: ArrayLike, factors: Mapping[str, ArrayLike]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return float64 codes and factors: float64 where ordered, numbers of categories where not."""
    values = reals(codes, "codes").astype(np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise InputError("codes", f"must have shape (N, Z) with 2 or more codes; found {values.shape}.")
    if len(values) < LEAST:
        raise InputError("codes", f"need {LEAST} samples or more; found {len(values)}.", "Use more scenes.")
    if len(factors) < 2:
        names = ", ".join(factors) or "none"
        raise InputError("factors", f"must be two or more to be kept apart; found {names}.", "Use other data.")
    return values, {name: _column(name, factor, len(values)) for name, factor in factors.items()}


def _column(name: str, factor: ArrayLike, count: int) -> np.ndarray:
    column = np.asarray(factor)
    if column.shape != (count,):
        raise InputError(name, f"must have shape (N,) = ({count},) as the codes have; found {column.shape}.")
    if np.issubdtype(column.dtype, np.floating):
        column = reals(column, name).astype(np.float64)
    else:
        column = np.unique(column, return_inverse=True)[1].astype(np.int64)
    if (column == column[0]).all():
        raise InputError(name, "is the same for all samples: it cannot be told.", "Leave the factor out.")
    return column


def _halves(scenes: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples to learn from and to test on, those of one scene together and side by side."""
    if scenes.shape != (count,):
        raise InputError("scenes", f"must have shape (N,) = ({count},) as the codes have; found {scenes.shape}.")
    distinct, scene = np.unique(scenes, return_inverse=True)
    if len(distinct) < 2 * _FOLDS:
        raise InputError("scenes", f"must be {2 * _FOLDS} or more; found {len(distinct)}.", "Use more scenes.")
    place = np.random.default_rng(seed).permutation(len(distinct))[scene]
    order = np.argsort(place, kind="stable")
    first = int((place < (len(distinct) + 1) // 2).sum())
    return order[:first], order[first:]


def _standardised(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return values of mean 0 and standard deviation 1 over some rows; columns that are constant there become 0."""
    centre, spread = values[rows].mean(0), values[rows].std(0)
    alive = spread > 1e-9 * np.maximum(np.abs(centre), 1e-9)
    return np.where(alive, (values - centre) / np.where(alive, spread, 1.0), 0.0)


def _predicted(train: _Half, test: _Half, regressor: str, seed: int) -> tuple[Informativeness, np.ndarray]:
    """Return how well a factor is told, and the importance of each code for it, shape (Z,)."""
    ordered = np.issubdtype(train.factor.dtype, np.floating)
    if (train.factor == train.factor[0]).all():  # a rare category that only the other half has
        prediction, importance = np.full(len(test.factor), train.factor[0]), np.zeros(train.codes.shape[1])
    else:
        fitted, importance = _lasso(train) if regressor == "lasso" else _forest(train, ordered, seed)
        prediction = fitted.predict(test.codes)
    score = _error if ordered else _accuracy
    total = importance.sum()
    return score(train.factor, test.factor, prediction), importance / total if total > 0 else importance


def _lasso(train: _Half) -> tuple[Any, np.ndarray]:
    """Return a Lasso and its absolute weights; folds are of samples side by side, so that they part few scenes."""
    sklearn = _sklearn()
    with warnings.catch_warnings():  # codes that nearly repeat each other need more steps where there is no penalty
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
        fitted = sklearn.linear_model.LassoCV(cv=_FOLDS, max_iter=3_000).fit(train.codes, train.factor)
    return fitted, np.abs(fitted.coef_)


def _forest(train: _Half, ordered: bool, seed: int) -> tuple[Any, np.ndarray]:
    """Return a forest of the depth that samples out of the bag like best, and its importances."""
    ensemble = _sklearn().ensemble
    kind = ensemble.RandomForestRegressor if ordered else ensemble.RandomForestClassifier
    settings = {"n_estimators": TREES, "max_features": None, "oob_score": True, "random_state": seed}
    forests = [kind(max_depth=depth, **settings).fit(train.codes, train.factor) for depth in _DEPTHS]
    best = max(forests, key=lambda forest: forest.oob_score_)
    return best, best.feature_importances_


def _accuracy(train: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> Informativeness:
    frequent = np.bincount(train).argmax()
    return Informativeness("accuracy", float((prediction == truth).mean()), float((truth == frequent).mean()))


def _error(train: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> Informativeness:
    wrong, guess = (np.sqrt(np.square(truth - estimate).mean()) for estimate in (prediction, train.mean()))
    return Informativeness("normalised RMSE", float(wrong / guess) if guess > 0 else np.nan, 1.0)


def _sklearn() -> Any:
    try:
        import sklearn
        import sklearn.ensemble
        import sklearn.exceptions
        import sklearn.linear_model
    except ImportError as error:
        problem = "needs scikit-learn, which is not installed."
        raise InputError("disentanglement", problem, "pip install 'scenewise[sklearn]'") from error
    return sklearn

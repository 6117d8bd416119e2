"""Scores parameters of a support vector classifier on handwritten digits, and remembers each score.

    pip install "memo-persist[examples]"
    python examples/digits.py                       # a quarter of a minute the first time
    python examples/digits.py --costs 1 3 10 30     # scores only what it has not scored yet

The one decision: what is remembered is the score of *one* set of parameters, not of the grid. A wider or finer grid
then costs only its new points, and a run that was interrupted goes on where it stopped. scikit-learn is imported where
it is used, so that a run that only remembers does not wait for it either.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import sys
import time

from memo import flags, persist


@persist
def score(kernel: str, cost: float, gamma: float, folds: int = 5) -> list[float]:
    """The accuracy on each fold of the 1,797 digits of 8 x 8 pixels that come with scikit-learn."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import cross_val_score
    from sklearn.svm import SVC

    digits = load_digits()
    scores = cross_val_score(SVC(kernel=kernel, C=cost, gamma=gamma), digits.data, digits.target, cv=folds)
    return [float(one) for one in scores]


def main() -> None:
    parser = argparse.ArgumentParser(description="Find good parameters for a classifier of handwritten digits.")
    parser.add_argument(
        "--kernels", nargs="+", default=["rbf", "sigmoid"], choices=["linear", "poly", "rbf", "sigmoid"]
    )
    parser.add_argument("--costs", nargs="+", type=float, default=[0.1, 1.0, 10.0, 100.0], metavar="C")
    parser.add_argument("--gammas", nargs="+", type=float, default=[1e-4, 3e-4, 1e-3, 3e-3], metavar="GAMMA")
    parser.add_argument("--folds", type=int, default=5, help="of the cross-validation (default 5)")
    flags.add_arguments(parser)
    options = parser.parse_args()
    if importlib.util.find_spec("sklearn") is None:
        sys.exit('this example needs scikit-learn: pip install "memo-persist[examples]"')

    started = time.perf_counter()
    results = []
    print(f"{'kernel':<10}{'C':>10}{'gamma':>10}{'accuracy':>12}{'worst fold':>12}")
    for kernel, cost, gamma in itertools.product(options.kernels, options.costs, options.gammas):
        folds = score(kernel, cost, gamma, folds=options.folds)
        mean = sum(folds) / len(folds)
        results.append((mean, min(folds), kernel, cost, gamma))
        print(f"{kernel:<10}{cost:>10g}{gamma:>10g}{mean:>12.4f}{min(folds):>12.4f}")
    mean, _, kernel, cost, gamma = max(results)
    print(f"\nbest: kernel={kernel} C={cost:g} gamma={gamma:g} with {mean:.2%} of the digits right")

    info, seconds = score.cache_info(), time.perf_counter() - started
    print(
        f"{len(results) - info.hits} scored now, {info.hits} remembered: {info.seconds_saved:.1f} s saved, {seconds:.2f} s spent",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()

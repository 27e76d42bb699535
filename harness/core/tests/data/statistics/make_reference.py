"""Writes scipy_reference.json: what SciPy says of the samples that tests/statistics_reference.rs compares with.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install scipy==1.17.1
    /tmp/venv/bin/python make_reference.py > scipy_reference.json
    /tmp/venv/bin/python make_reference.py coverage        # the table of README.md
"""

import json
import sys

import numpy
import scipy
from scipy import stats


def samples():
    random = numpy.random.default_rng(20261122)
    for n in (6, 7, 8, 10, 13, 20):
        yield f"normal, {n}", random.normal(0.03, 0.05, n)
        yield f"student t with 3 degrees of freedom, {n}", 0.02 + 0.03 * random.standard_t(3, n)
    yield "ties, 9", numpy.array([0.5, 0.5, -0.25, 0.25, 1.0, 1.0, 1.0, -0.5, 0.75])


def signed_rank(values):
    """Exact where no sizes tie; else all sign patterns, since SciPy's exact method takes no ties."""
    if len(set(abs(values))) == len(values):
        return float(stats.wilcoxon(values, alternative="greater", method="exact").pvalue)
    every = stats.PermutationMethod(n_resamples=numpy.inf)
    return float(stats.wilcoxon(values, alternative="greater", method=every).pvalue)


def interval(values, method, resamples, seed=1):
    found = stats.bootstrap(
        (values,), numpy.median, confidence_level=0.95, n_resamples=resamples, method=method,
        batch=20_000, rng=numpy.random.default_rng(seed),
    ).confidence_interval
    return [float(found.low), float(found.high)]


def reference():
    rows = []
    for name, values in samples():
        rows.append({
            "name": name,
            "values": [float(value) for value in values],
            "median": float(numpy.median(values)),
            "quartiles": [float(q) for q in numpy.quantile(values, [0.25, 0.75])],
            "signed_rank_greater": signed_rank(values),
            "bootstrap_percentile_95": interval(values, "percentile", 400_000),
        })
    holm = [0.004, 0.03, 0.2, 0.011, 0.6]
    # SciPy has no Holm; this is its definition, from the largest multiplier down.
    order = numpy.argsort(holm)
    steps = numpy.maximum.accumulate([(len(holm) - k) * holm[i] for k, i in enumerate(order)])
    adjusted = numpy.empty(len(holm))
    adjusted[order] = numpy.minimum(steps, 1.0)
    versions = {"numpy": numpy.__version__, "scipy": scipy.__version__}
    print(json.dumps({"versions": versions, "samples": rows, "holm": [holm, adjusted.tolist()]}, indent=1))


def coverage():
    """How often the 95 % intervals hold the true median, which is 0."""
    random = numpy.random.default_rng(7)
    laws = {
        "normal": lambda shape: random.normal(size=shape),
        "student t, 3": lambda shape: random.standard_t(3, size=shape),
        "one in twenty held up": lambda shape: random.normal(size=shape)
        + (random.random(shape) < 0.05) * random.exponential(10, shape),
    }
    tries = 1000
    print("| law | pairs | percentile | BCa | BCa is not a number |")
    print("|---|---|---|---|---|")
    for law, draw in laws.items():
        for n in (6, 10, 20):
            held = {"percentile": 0, "BCa": 0}
            broken = 0
            # The ratio of two alike: its median is 0 whatever the law.
            for values in draw((tries, n)) - draw((tries, n)):
                for method in held:
                    low, high = interval(values, method, 2_000)
                    broken += method == "BCa" and not (numpy.isfinite(low) and numpy.isfinite(high))
                    held[method] += bool(low <= 0.0 <= high)
            print(f"| {law} | {n} | {100 * held['percentile'] / tries:.1f} % | {100 * held['BCa'] / tries:.1f} % "
                  f"| {100 * broken / tries:.1f} % |")


if __name__ == "__main__":
    coverage() if sys.argv[1:] == ["coverage"] else reference()

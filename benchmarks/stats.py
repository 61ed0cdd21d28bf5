"""Medians, their spread, and ratios of medians. Times come as one list of seconds a round."""

import numpy as np


def quartiles(values):
    """(first quartile, median, third quartile) as floats."""
    return tuple(float(value) for value in np.percentile(list(values), (25, 50, 75)))


def flat(rounds):
    return [seconds for one_round in rounds for seconds in one_round]


def describe(rounds):
    """The steps of all rounds: their number, median and quartiles in ms, and every one of them."""
    low, median, high = (1000 * value for value in quartiles(flat(rounds)))
    return {
        "steps": len(flat(rounds)),
        "median_ms": median,
        "quartiles_ms": [low, high],
        "seconds": rounds,
    }


def ratio(theirs, ours):
    """How many times as long theirs takes: the ratio of the medians over all rounds, and the
    quartiles of the rounds' own ratios, which tell how far chance moves it."""
    overall = quartiles(flat(theirs))[1] / quartiles(flat(ours))[1]
    each = [quartiles(a)[1] / quartiles(b)[1] for a, b in zip(theirs, ours, strict=True)]
    low, _, high = quartiles(each)
    return {"ratio": overall, "quartiles": [low, high]}

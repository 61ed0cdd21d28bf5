"""What the command lines of the training scripts share."""

import argparse
import math


def number(kind, low, high=math.inf):
    """An argparse type: an int or float within [low, high], refused in a sentence otherwise."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or not math.isfinite(value):
            what = "a whole number" if kind is int else "a number"
            span = f"from {low} to {high}" if high < math.inf else f"from {low} up"
            raise argparse.ArgumentTypeError(f"expected {what} {span}, got {text!r}")
        return value

    return parse

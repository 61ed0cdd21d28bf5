"""Step through backprop, one op at a time: in a terminal, a notebook, or a one-file web page."""

from tinynet.stepper.page import save_html
from tinynet.stepper.plots import animate, plot_step
from tinynet.stepper.recording import record
from tinynet.stepper.show import show
from tinynet.stepper.terminal import walk
from tinynet.stepper.trace import Trace

__all__ = ["Trace", "animate", "plot_step", "record", "save_html", "show", "walk"]

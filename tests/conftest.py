"""Graphs are made by the thousand here: looking through all of them for garbage as often as Python does takes its time."""

import gc

gc.set_threshold(100_000, 20, 10)

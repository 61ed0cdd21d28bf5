"""Exercises with checks: the learner writes a function in NumPy, the check says what is wrong.

    python -m tinynet.exercises                          # the list
    python -m tinynet.exercises write multiply_backward  # exercises/multiply_backward.py, a stub
    python -m tinynet.exercises check multiply_backward

`course` holds the exercises, `learner` runs a learner's file in a process of its own, `verdict`
compares its results with those of `tinynet.ops`.
"""

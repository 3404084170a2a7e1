"""Checks of what comes from outside, in the field's words: right, or one sentence that says what, its value, what is
valid and the remedy. They know arrays and plain values, no models; the doors of all other rooms call them.

values.py: counts, numbers, flags    arrays.py: ids, positions, masks    vectors.py: what layers are given
fields.py, config.py: a Config    weights.py: a model's parameters    learning.py: criteria, optimizers, schedules
objectives.py, batches.py: what a model is trained on    resuming.py: what training goes on from
writing.py: the arguments of generate
"""

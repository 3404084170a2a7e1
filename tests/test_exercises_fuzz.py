"""Whatever a student's process answers is judged: right, or not right with a sentence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from minixfmr.exercises import NotRight, Session
from minixfmr.exercises.catalogue import exercises
from minixfmr.exercises.child.channel import Other
from minixfmr.exercises.compare import NotStarted

EXERCISES = exercises()
numbers = arrays.arrays(
    st.sampled_from(["f8", "f4", "i8", "u1", "b1"]), arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7)
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(),
    st.text(max_size=5),
    numbers,
    st.just(Other("a set")),
)
keys = st.one_of(
    st.sampled_from(["result", "changed", "raised", "no_pair", "line", "calls", "uses", "w_q", "x"]), st.text()
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.tuples(inner, inner, inner),
        st.dictionaries(keys, inner),
    ),
    max_leaves=6,
)
raised = st.fixed_dictionaries(
    {"raised": st.dictionaries(st.sampled_from(["type", "text", "frames", "kind"]), values, max_size=4)}
)
replies = st.one_of(values, st.fixed_dictionaries({"result": values, "changed": values, "calls": values}), raised)


class Sly:
    """A child that answers anything."""

    seconds = 1.0

    def __init__(self, answers):
        self.answers = answers

    def ask(self, order, answer=None):
        if answer and isinstance(self.answers[0], tuple):
            answer(self.answers[0])
        return self.answers[len(order) % len(self.answers)]


@pytest.mark.parametrize(
    "name", ["softmax", "cross_entropy", "dropout", "attention", "encoder_block", "adamw", "greedy_decoding"]
)
@given(answers=st.lists(replies, min_size=1, max_size=3))
@settings(max_examples=60)
def test_any_answer_is_judged(name, answers, tmp_path_factory):
    session = Session(Sly(answers), name, tmp_path_factory.getbasetemp(), 100)
    for check in EXERCISES[name].checks:
        with np.errstate(all="ignore"):
            try:
                check.run(session, None)
            except (NotRight, NotStarted) as error:
                assert "\n" not in str(error)
            else:
                raise AssertionError("an answer without the student's function was right")

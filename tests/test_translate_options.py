"""Options of the tutorial script that would have no effect are refused, or named."""

from pathlib import Path

import pytest
import translate
from translating import fails
from translation import UsageError, options

GIVEN = {  # a value for every option
    **dict.fromkeys((*options.DATA, "name", "finetune", "model", "output", "translate"), "x"),
    **{name: 1 for name, (_, kind, _) in options.TRAINING.items() if kind in (int, float)},
    **dict.fromkeys((*options.LAYOUT, "resume", "overwrite", "verbose"), True),
    "source_lang": "en",
    "target_lang": "de",
    "norm_order": "pre",
    "keep": "best",
    "num_beams": 2,
}


def test_every_option_says_what_it_goes_with():
    """The table knows every option of the command line, and what it refuses it refuses in words that are true."""
    parsed = options.parse(["--translate", "x"], "")
    assert set(parsed) <= set(options.GOES_WITH)
    assert set(options.TRAINING) | set(options.USING) <= set(options.GOES_WITH)
    begun = {
        options.TRANSLATING: {"model": "x", "translate": "x"},
        options.ON_PAIRS: {"model": "x", "evaluate": ["x"]},
        options.ON_FILES: {"model": "x", "evaluate": ["x", "y"]},
        options.RESUMING: {"resume": True},
        options.PAIRS: {"pairs": "x"},
        options.FILES: {"source": "x", "target": "y"},
        options.NUMBERS: {},
    }
    for task, given in begun.items():
        assert options.task(given) == task
        options.refuse_idle(given)
        for name in set(GIVEN) - set(given):
            both = given | {name: GIVEN[name]}
            if task in options.GOES_WITH[name][1] or options.task(both) != task:
                continue
            with pytest.raises(UsageError, match=f"^{options.option(name)} goes with "):
                options.refuse_idle(both)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pairs", "pairs.tsv", "--numbers", "10"], "--numbers goes with training on numbers, not with"),
        (["--pairs", "pairs.tsv", "--target-lang", "fr"], "--target-lang goes with training on numbers"),
        (["--source", "a", "--target", "b", "--columns", "1,2"], "--columns goes with files of pairs"),
        (["--model", "x", "--evaluate", "a", "b", "--separator", ","], "--separator goes with files of pairs"),
        (["--model", "x", "--evaluate", "a", "--epochs", "3"], "--epochs goes with training"),
        (["--model", "x", "--translate", "a", "--header"], "--header goes with data of your own"),
        (["--model", "x", "--translate", "a", "--overwrite"], "--overwrite goes with a new run"),
        (["--verbose"], "--verbose goes with --translate"),
    ],
)
def test_an_option_without_effect_is_refused(here, capsys, arguments, message):
    assert message in fails(capsys, *arguments)


def test_a_number_beyond_what_has_an_effect_is_named(here, capsys):
    Path("pairs.tsv").write_text("".join(f"sentence {i}\tSatz {i}\n" for i in range(30)))
    options = "--patience 9 --save-every 500 --vocab-size 4000 --accumulate 70 --epochs 2".split()
    sizes = "--d-model 16 --num-heads 2 --d-ff 24 --layers 1 --batch-tokens 150".split()
    assert translate.main(["--pairs", "pairs.tsv", *sizes, *options]) == 0
    told = capsys.readouterr().out
    for option in ("--patience 9", "--save-every 500", "--vocab-size 4,000", "--accumulate 70"):
        assert f"{option} is more than has an effect" in told

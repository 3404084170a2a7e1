"""From the settings to a Corpus, and what of it a run keeps itself."""

from corpus import number_corpus, split

from .files import is_pipe
from .options import DATA, LAYOUT
from .pairs import Layout, read_pairs, read_parallel

HEADER = "source", "target"
PARTS = {"train_": "", "valid_": "valid_", "test_": "test_"}  # {name in the folder: prefix of the options}


def layout(settings):
    given = {name: settings[name] for name in LAYOUT if settings.get(name)}
    return Layout(**given)


def read_corpus(settings):
    """The training, validation and test pairs that the settings name."""
    if not settings["pairs"] and not settings["source"]:
        return number_corpus(
            settings["source_lang"], settings["target_lang"], settings["numbers"], seed=settings["seed"]
        )
    pairs, valid, test = (_read(settings, kind) for kind in PARTS.values())
    corpus = split(pairs, settings["seed"], valid, test)
    seen = {source for source, _ in corpus.train}
    known = sum(source in seen for source, _ in corpus.test)
    if known:
        print(f"note: {known:,} of {len(corpus.test):,} test pairs have a source that is in the training data too")
    return corpus


def _read(settings, kind):
    if settings[f"{kind}pairs"]:
        return read_pairs(settings[f"{kind}pairs"], layout(settings))
    if settings[f"{kind}source"]:
        return read_parallel(settings[f"{kind}source"], settings[f"{kind}target"], layout(settings))
    return None


def kept(settings, corpus, folder):
    """(settings, [(name, bytes)]): where some data came through a pipe, which cannot be read again, or from the run's
    folder, which is cleared, the run keeps all of it as files of its own, and its settings name those."""
    names = {f"{kind}pairs": f"{part}pairs.tsv" for part, kind in PARTS.items()}
    own = {option: str((folder / name).absolute()) for option, name in names.items()}
    paths = [settings[name] for name in DATA if settings[name]]
    if not any(is_pipe(path) or path in own.values() for path in paths):
        return settings, []
    parts = zip(names.values(), (corpus.train, corpus.valid, corpus.test), strict=True)
    files = [(name, "".join(f"{s}\t{t}\n" for s, t in [HEADER, *pairs]).encode()) for name, pairs in parts]
    plain = {"columns": [1, 2], "separator": "\t", "quoting": "none", "header": True}
    return settings | dict.fromkeys(DATA) | dict.fromkeys(LAYOUT, False) | own | plain, files

"""What a run tells of itself: figures, curves and pictures. First what cannot be drawn again, last what can fail."""

import io
import json
import multiprocessing
import os
import re
import sys
import time
import unicodedata
import warnings
from pathlib import Path

import minixfmr
from minixfmr.checkpoint import write_file

from .console import command, counted, note, shortened

UNSPACED = {"HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"}  # by characters
SHOWN = 10


def bleu_tokenizer(sentences):
    """The way of BLEU to cut these sentences into words: "zh" or "char" where spaces do not, else its own, "13a"."""
    letters = [c for sentence in sentences[:1000] for c in sentence if c.isalpha()]
    scripts = [unicodedata.name(letter, "").split()[0:1] for letter in letters]
    found = [script[0] for script in scripts if script]
    unspaced, han = sum(script in UNSPACED for script in found), found.count("CJK")
    if 2 * (unspaced + han) < len(letters) or not letters:
        return "13a"
    return "zh" if 10 * unspaced < han else "char"


def by_source(pairs):
    """{source: its translations}, in the order of the pairs."""
    grouped: dict[str, list] = {}
    for source, target in pairs:
        grouped.setdefault(source, []).append(target)
    return grouped


def scores(outputs, references):
    """Exact match, BLEU and chrF of the outputs; references: a list for each. What cannot be computed is None."""
    exact = sum(output in texts for output, texts in zip(outputs, references, strict=True)) / len(outputs)
    most = max(map(len, references))
    columns = [[texts[i] if i < len(texts) else None for texts in references] for i in range(most)]

    def bleu():
        from sacrebleu import BLEU

        tokenizer = bleu_tokenizer([text for texts in references for text in texts])
        return BLEU(tokenize=tokenizer, effective_order=True)  # a number is one word: it has no n-grams beyond 1

    def chrf():
        from sacrebleu import CHRF

        return CHRF()

    def figures(name, new):
        metric = new()
        score = round(metric.corpus_score(outputs, columns).score, 2)
        return {name: score, f"{name}_signature": str(metric.get_signature())}

    found: dict = {"exact_match": round(exact, 5)}
    for name, new in {"bleu": bleu, "chrf": chrf}.items():
        nothing = {name: None, f"{name}_signature": None}
        found |= _optional(name, lambda name=name, new=new: figures(name, new)) or nothing
    return found


def tell_limits(translations, limit):
    """Count what was not read or written whole."""
    cut, unfinished = (sum(map(bool, (getattr(t, name) for t in translations))) for name in ("cut", "unfinished"))
    unknown = sum(translation.unknown for translation in translations)
    if unknown:
        note(f"{unknown:,} of {len(translations):,} sources have characters that were not in the training data")
    if cut:
        note(f"{cut:,} of {len(translations):,} sources were cut at {limit - 1} subwords (--max-length)")
    if unfinished:
        note(f"{unfinished:,} of {len(translations):,} translations were cut at {limit} subwords (--max-length)")


def measure(translator, pairs, num_beams=1):
    """(metrics, {source: Translation}) of the pairs."""
    references = by_source(pairs)
    began = time.perf_counter()
    translations = translator.translations(list(references), num_beams, progress=True)
    seconds = time.perf_counter() - began
    tell_limits(translations, translator.limit)
    metrics = scores([t.text for t in translations], list(references.values()))
    metrics |= {"test_pairs": len(pairs), "test_sentences": len(references), "test_seconds": round(seconds, 1)}
    return metrics, dict(zip(references, translations, strict=True))


def finish(run, corpus):
    """Write the model, then the metrics, then the rest."""
    folder, state, translator = run.folder, run.state, run.translator
    epoch = run.choose()
    minixfmr.save(translator.model, folder.path)
    write_curves(folder, state)
    tested, translations = measure(translator, corpus.test)
    metrics = tested | {
        "train_seconds": round(state["seconds"], 1),
        "tokens_per_second": round(state["tokens"] / max(state["seconds"], 1e-3)),
        "epoch": epoch,
        "valid_loss": dict(map(tuple, state["valid"])).get(_step_of(epoch, state)),
        "parameters": translator.model.num_parameters(),
        "peak_memory_mb": _optional("the peak of memory", peak_memory_mb),
    }
    folder.write_json("metrics.json", without_nan(metrics))
    folder.finish()
    references = by_source(corpus.test)
    for source, translation in list(translations.items())[:SHOWN]:
        right = translation.text in references[source]
        verdict = "" if right else f"   (reference: {shortened(references[source][0])})"
        print(f"  {shortened(source)} → {shortened(translation.text)}{verdict}")
    drawn = draw(folder, translator, translations, state)
    print(json.dumps(without_nan(metrics), indent=2))
    print(f"{', '.join(['model', 'vocabulary', 'metrics.json', 'curves.csv', *drawn])} are in {folder}")
    text = min(references, key=len)
    print(f"try it: {command(model=folder, translate=text)}")


def _step_of(epoch, state):
    return state["valid"][min(epoch, len(state["valid"])) - 1][0] if state["valid"] else None


def without_nan(metrics):
    """JSON has no word for what is not finite: null."""
    return {
        name: None if value != value or value in (float("inf"), float("-inf")) else value
        for name, value in metrics.items()
    }


def write_curves(folder, state):
    """The losses as a table and as lines of JSON, one a step."""
    valid = dict(map(tuple, state["valid"]))
    rows = [(step, loss, valid.get(step)) for step, loss in state["steps"]]
    table = "step,train_loss,valid_loss\n" + "".join(f"{s},{t},{'' if v is None else v}\n" for s, t, v in rows)
    write_file(folder / "curves.csv", table.encode())
    lines = [{"step": s, "train_loss": t} | ({} if v is None else {"valid_loss": v}) for s, t, v in rows]
    write_file(folder / "curves.jsonl", "".join(json.dumps(without_nan(line)) + "\n" for line in lines).encode())


def draw(folder, translator, translations, state):
    """The pictures; one that fails costs no more than itself. Returns the names of those that were drawn."""
    os.environ["MPLBACKEND"] = "Agg"  # nothing is shown; a notebook's setting may name what is not installed
    examples = sorted(translations, key=lambda source: abs(len(source) - 45))[:2]
    maps = [translations[source] for source in examples if translations[source].ids]
    curves = {"training (dropout, smoothed labels)": state["steps"], "validation (neither)": state["valid"]}
    pictures = {
        "attention.png": lambda plots: plots.attention_maps([translator.cross_attention(t) for t in maps]),
        "loss.png": lambda plots: plots.losses({label: points for label, points in curves.items() if points}),
    }
    drawn = []
    for name, picture in pictures.items():
        try:
            import plots  # matplotlib is slow to import, and only needed here

            from .glyphs import with_glyphs

            figure, missing = with_glyphs(lambda picture=picture: picture(plots))
            buffer = io.BytesIO()
            with warnings.catch_warnings(action="ignore"):  # of the missing glyphs, which are told below
                figure.savefig(buffer, format="png")
            write_file(folder / name, buffer.getvalue())
            longer = sum(max(len(t.source_ids), len(t.ids)) > plots.LONGEST for t in maps)
            if longer and name == "attention.png":
                sentences = counted(longer, "long sentence")
                note(f"{name}: {sentences} cut, the picture has the first {plots.LONGEST} tokens")
            drawn.append(name)
            if missing:
                note(
                    f"{name}: no font here has {missing[:20]}, boxes stand for them; Noto Sans has fonts for any script"
                )
        except Exception as error:
            note(f"{name} could not be drawn: {type(error).__name__}: {error}")
    return drawn


def _optional(name, compute):
    try:
        return compute()
    except Exception as error:
        note(f"{name} is missing: {type(error).__name__}: {error}")
        return None


def peak_memory_mb():
    """The most memory this process and its workers ever held, in MB; None where the system does not tell.

    What they share (the weights, the libraries) counts once for each of them.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    workers = [Path(f"/proc/{child.pid}/status").read_text() for child in multiprocessing.active_children()]
    peaks = [re.search(r"VmHWM:\s+(\d+)", status) for status in workers]  # forked on Linux alone
    if not all(peaks):
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes or KiB
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return round((own + sum(int(peak[1]) for peak in peaks if peak) * 1024) / 1e6, 1)

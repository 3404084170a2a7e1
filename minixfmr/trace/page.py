"""The page of a trace: one self-contained HTML file."""

import html
import inspect
import keyword
import linecache
import re
import textwrap
from typing import Any

from ..gradcheck.blame import file_of

STYLE = """
.trace { font: 14px/1.45 system-ui, sans-serif; color: #222; background: #fff; color-scheme: light; }
.trace * { box-sizing: border-box; }
.trace code, .trace pre { font: 12px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; color: inherit; }
.trace h1 { font-size: 20px; margin: 0 0 4px; }
.trace h2 { font-size: 16px; margin: 28px 0 8px; }
.trace p { margin: 4px 0; max-width: 100ch; }
.trace .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 20px; border-top: 1px solid #ddd; }
.trace .pair > div { padding: 3px 8px 4px calc(8px + 16px * var(--depth, 0)); min-width: 0; overflow-wrap: anywhere; }
.trace summary { cursor: pointer; }
.trace summary.pair { list-style: none; }
.trace summary.pair::-webkit-details-marker { display: none; }
.trace .fold { display: inline-block; width: 1.2em; color: #0072b2; }
.trace summary .fold::before { content: "▸"; }
.trace details[open] > summary .fold::before { content: "▾"; }
.trace .head { position: sticky; top: 0; background: #fff; font-weight: 600; z-index: 1; border: 0; }
.trace .name { font-weight: 600; }
.trace .number { font-weight: 600; color: #0072b2; }
.trace .path, .trace .small { color: #595959; font-size: 12px; }
.trace .formula { white-space: pre-wrap; display: block; color: #004d80; }
.trace .bar { display: inline-block; height: 8px; background: #e69f00; margin-right: 4px; }
.trace a { color: #0072b2; text-decoration: none; }
.trace a:hover { text-decoration: underline; }
.trace pre { margin: 0; padding: 4px 0; white-space: pre-wrap; overflow-wrap: anywhere; background: none; }
.trace pre span.line { display: block; padding: 0 6px 0 calc(6px + 18ch); text-indent: -18ch; }
.trace pre span.n { color: #767676; user-select: none; }
.trace :target { outline: 2px solid #0072b2; }
.trace .answer { background: hsl(calc(57 * var(--tint)) 75% 93%); }
.trace b.symbol { color: hsl(calc(47 * var(--tint)) 90% 28%); }
@media (max-width: 900px) { .trace .pair { grid-template-columns: 1fr; } }
"""


def page(trace, whole=False):
    """The steps as HTML: the forward down the left side, and beside each step the backward that answers it.

    A step folds away what is inside it, and is folded at first where the same was shown before.
    whole: as a document of its own, with the source of every function below the steps.
    """
    longest = max([call.own_seconds for step in trace.steps for call in _calls(step)], default=0) or 1
    anchors: dict = {}  # the functions of a step → their anchor on the page
    for step in trace.steps:
        anchors.setdefault(_functions(step), f"source-{len(anchors)}")
    rows = [
        _step(step, number, longest, anchors[_functions(step)] if whole else None)
        for number, step in enumerate(trace.steps, 1)
    ]
    parts = [
        f"<h1>{html.escape(trace.title)}</h1>",
        "<p>The forward runs down the left side. Beside each step, under the same number, is the backward that answers "
        "it: read the right side from the bottom up. A step opens and closes what is inside it; one that works like a "
        "step further up is closed at first. Times include nested steps; the bar is the step's own time. KiB: the "
        "memory that the step holds when it ends, and the most it held while it ran.</p>",
        '<div class="pair head"><div>forward ↓</div><div>backward ↑</div></div>',
        *_folded(trace.steps, rows),
    ]
    if whole:
        parts.append(
            "<h2>The source</h2><p>A line that calls a step has its number in front, and so has the line that calls "
            "its backward; both have one colour (…: it calls further steps, elsewhere in the model). In functions, x "
            "and dx have the same colour.</p>"
        )
        answers = _answers(trace)
        seen = {_functions(step): step for step in reversed(trace.steps)}
        helpers = _helpers(trace)
        parts += [_sources(seen[functions], anchor, answers, helpers) for functions, anchor in anchors.items()]
    body = f'<style>{STYLE}</style><div class="trace">{"".join(parts)}</div>'
    if not whole:
        return body
    title = html.escape(trace.title)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f'<body style="margin: 16px 24px; background: #fff">{body}</body></html>\n'
    )


def shape_text(shapes):
    """[(2, 5), (8,)] → "2×5, 8"."""
    return ", ".join("×".join(map(str, shape)) or "number" for shape in shapes) or "–"


def short(place):
    """(file, line) → "attention.py:12"."""
    return f"{file_of(place[0])}:{place[1]}"


def _calls(step):
    return [call for call in (step.forward, step.backward) if call is not None]


def _functions(step):
    return tuple(call.function for call in _calls(step))


def _folded(steps, rows):
    """Yield the rows, those with steps inside them as the summary of a fold that holds these."""
    depths = [step.forward.depth for step in steps]
    ends = [_end(depths, i) for i in range(len(steps))]
    shown = set()  # the steps that have been seen unfolded, by what happens in them
    for i, row in enumerate(rows):
        if ends[i] == i + 1:
            yield f'<div class="pair"{row}</div>'
        else:
            inside = tuple(step.forward.function for step in steps[i : ends[i]])
            yield f'<details{"" if inside in shown else " open"}><summary class="pair"{row}</summary>'
            shown.add(inside)
        yield "</details>" * sum(end == i + 1 and end > j + 1 for j, end in enumerate(ends[:i]))


def _end(depths, i):
    """Where the steps inside step i end."""
    return next((j for j in range(i + 1, len(depths)) if depths[j] <= depths[i]), len(depths))


def _step(step, number, longest, anchor):
    """The row of a step, from the attributes of its tag on."""
    halves = [_half(call, number, longest, anchor) for call in _calls(step)]
    if step.backward is None:
        halves.append('<span class="small">no backward was called</span>')
    shapes = ", ".join(f"{name} {shape_text([shape])}" for name, shape in step.parameters.items())
    if shapes:
        halves[0] += f'<span class="small"> · parameters: {html.escape(shapes)}</span>'
    inside = "".join(f"<div>{half}</div>" for half in halves)
    return f' style="--depth: {min(step.forward.depth, 12)}">{inside}'


def _half(call, number, longest, anchor):
    name = call.name if call.is_forward else f"{call.name}{'.backward' if call.is_method else '_backward'}"
    place = html.escape(short(call.place))
    place = f'<a href="#{anchor}">{place}</a>' if anchor else place
    facts = [f"{shape_text(call.shapes_in)} → {shape_text(call.shapes_out)}"]
    if call.low is not None:
        facts.append(f"values {call.low:.3g} … {call.high:.3g}")
    facts.append(f"{1e3 * call.seconds:.3f} ms")
    if call.kept is not None:
        held = f"{max(call.kept, 0) / 1024:.0f} KiB held, " if call.is_forward else ""
        facts.append(f"{held}{call.peak / 1024:.0f} KiB at most")
    outer = call.inside.path if call.inside else ""
    path = html.escape(call.path.removeprefix(outer).removeprefix("."))
    path = f'<span class="path" title="{html.escape(call.path)}">{path}</span> ' if call.is_method and path else ""
    formula = f'<code class="formula">{html.escape(call.formula)}</code>' if call.formula else "<br>"
    bar = f'<span class="bar" style="width: {100 * call.own_seconds / longest:.0f}px"></span>'
    file, line = call.called
    text = html.escape(f"{short(call.called)}: {linecache.getline(file, line).strip()}")
    caller = f'<br><code class="path">{text}</code>' if call.inside else ""
    return (
        f'<span class="fold"></span><span class="number">{number}</span> <span class="name">{html.escape(name)}</span> '
        f"{path}{place}{caller}{formula}"
        f'{bar}<span class="small">{html.escape(" · ".join(facts))}</span>'
    )


def _answers(trace):
    """{(file, line): numbers of the steps} of the lines that call a step or its backward."""
    answers: dict = {}
    for number, step in enumerate(trace.steps, 1):
        if step.backward is not None:
            for call in (step.forward, step.backward):
                answers.setdefault(call.called, []).append(number)
    return answers


def _helpers(trace):
    """{function of a step: the helper methods through which it calls other steps}"""
    helpers: dict = {}
    for step in trace.steps:
        for call in _calls(step):
            if call.inside and call.caller is not call.inside.function.__code__:
                helpers.setdefault(call.inside.function, {})[call.caller] = None
    return helpers


def _sources(step, anchor, answers, helpers):
    functions = _functions(step)
    codes = [(function.__code__, *helpers.get(function, ())) for function in functions]
    names = html.escape(", ".join(dict.fromkeys(function.__qualname__ for function in functions)))
    inside = side_by_side(codes, symbols_of(functions), answers, anchor)
    return f'<details open><summary class="name">{names}</summary>{inside}</details>'


def side_by_side(codes: Any, symbols: Any = (), answers: Any = None, anchor: str = "") -> str:
    """The sources of a forward and of its backward as HTML, each given as a tuple of code objects. Names in symbols
    have the colour of their gradients, lines in answers, {(file, line): numbers}, that of the line that answers."""
    inside = "".join(f"<div>{''.join(_listing(code, symbols, answers or {}) for code in side)}</div>" for side in codes)
    return f'<div class="pair" id="{anchor}">{inside}</div>'


def symbols_of(functions: Any) -> list[str]:
    """The names x of a forward function for which its backward has dx; none for methods, where the calls say more."""
    if functions[0].__name__ == "forward":
        return []
    words = [set(re.findall(r"\w+", "".join(_lines(function.__code__)[0]))) for function in functions]
    return sorted(word for word in words[0] if f"d{word}" in words[-1] and not keyword.iskeyword(word))


def _listing(code, symbols, answers):
    tints = {name: tint for tint, symbol in enumerate(symbols) for name in (symbol, f"d{symbol}")}
    names = re.compile(rf"\b({'|'.join(sorted(tints, key=len, reverse=True))})\b")
    lines, first = _lines(code)
    shown = []
    for number, line in enumerate(textwrap.dedent("".join(lines)).splitlines(), first):
        text = html.escape(line, quote=False)
        if tints:
            text = names.sub(lambda m: f'<b class="symbol" style="--tint: {tints[m[0]]}">{m[0]}</b>', text)
        steps = answers.get((code.co_filename, number), ())
        start = f'<span class="line answer" style="--tint: {steps[0]}">' if steps else '<span class="line">'
        tag = f"{steps[0]}{'…' * (len(steps) > 1)}" if steps else ""
        shown.append(f'{start}<span class="n">{tag:>5} {number:5d} </span>{text}</span>')
    place = html.escape(short((code.co_filename, first)))
    return f'<span class="path">{place}</span><pre>{"".join(shown)}</pre>'


def _lines(code):
    """(the lines of a function, the number of the first), or one line in their place if its source is not available."""
    try:
        return inspect.getsourcelines(code)
    except OSError:
        return ["# source not available"], code.co_firstlineno

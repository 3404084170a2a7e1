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
.trace { font: 14px/1.45 system-ui, sans-serif; color: #222; }
.trace * { box-sizing: border-box; }
.trace code, .trace pre { font: 12px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.trace h1 { font-size: 20px; margin: 0 0 4px; }
.trace h2 { font-size: 16px; margin: 28px 0 8px; }
.trace p { margin: 4px 0; max-width: 90ch; }
.trace .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 20px; border-top: 1px solid #ddd; }
.trace .pair > div { padding: 5px 8px 6px calc(8px + 16px * var(--depth, 0)); min-width: 0; overflow-wrap: anywhere; }
.trace .head { position: sticky; top: 0; background: #fff; font-weight: 600; z-index: 1; border: 0; }
.trace .name { font-weight: 600; }
.trace .path, .trace .small { color: #666; font-size: 12px; }
.trace .formula { white-space: pre-wrap; display: block; margin: 1px 0; color: #004d80; }
.trace .bar { display: inline-block; height: 8px; background: #e69f00; margin-right: 4px; }
.trace a { color: #0072b2; text-decoration: none; }
.trace a:hover { text-decoration: underline; }
.trace pre { margin: 0; padding: 6px 0; overflow-x: auto; white-space: pre; overflow-wrap: normal; }
.trace pre span.line { display: block; padding: 0 6px; }
.trace pre span.n { color: #999; user-select: none; }
.trace :target { outline: 2px solid #0072b2; }
.trace .answer { background: hsl(calc(57 * var(--tint)) 75% 93%); }
.trace b.symbol { color: hsl(calc(47 * var(--tint)) 90% 28%); }
@media (max-width: 900px) { .trace .pair { grid-template-columns: 1fr; } }
"""


def page(trace, whole=False):
    """The steps as HTML: the forward down the left side, and beside each step the backward that answers it.

    whole: as a document of its own, with the source of every function below the steps.
    """
    longest = max([call.own_seconds for step in trace.steps for call in _calls(step)], default=0) or 1
    anchors: dict = {}  # the functions of a step → their anchor on the page
    for step in trace.steps:
        anchors.setdefault(_functions(step), f"source-{len(anchors)}")
    rows = [_step(step, longest, anchors[_functions(step)] if whole else None) for step in trace.steps]
    parts = [
        f"<h1>{html.escape(trace.title)}</h1>",
        "<p>The forward runs down the left side. Beside each step is the backward that answers it: read the right side "
        "from the bottom up, following the numbers. Times include nested steps; the bar is the step's own time. KiB: "
        "the memory that the step holds when it ends, and the most it held while it ran.</p>",
        '<div class="pair head"><div>forward ↓</div><div>backward ↑</div></div>',
        *rows,
    ]
    if whole:
        parts.append(
            "<h2>The source</h2><p>Lines of the same colour and number answer each other: what the forward calls on "
            "one side, the backward calls on the other. In functions, x and dx have the same colour.</p>"
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
        f'<body style="margin: 16px 24px">{body}</body></html>\n'
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


def _step(step, longest, anchor):
    halves = [_half(call, longest, anchor) for call in _calls(step)]
    if step.backward is None:
        halves.append('<span class="small">no backward was called</span>')
    shapes = ", ".join(f"{name} {shape_text([shape])}" for name, shape in step.parameters.items())
    if shapes:
        halves[0] += f'<br><span class="small">parameters: {html.escape(shapes)}</span>'
    inside = "".join(f"<div>{half}</div>" for half in halves)
    return f'<div class="pair" style="--depth: {min(step.forward.depth, 12)}">{inside}</div>'


def _half(call, longest, anchor):
    name = call.name if call.is_forward else f"{call.name}{'.backward' if call.is_method else '_backward'}"
    place = html.escape(short(call.place))
    place = f'<a href="#{anchor}">{place}</a>' if anchor else place
    shapes = f"{shape_text(call.shapes_in)} → {shape_text(call.shapes_out)}"
    facts = [shapes]
    if call.low is not None:
        facts.append(f"values {call.low:.3g} … {call.high:.3g}")
    facts.append(f"{1e3 * call.seconds:.3f} ms")
    if call.kept is not None:
        held = f"{max(call.kept, 0) / 1024:.0f} KiB held, " if call.is_forward else ""
        facts.append(f"{held}{call.peak / 1024:.0f} KiB at most")
    path = f'<span class="path">{html.escape(call.path)}</span> ' if call.is_method and call.path else ""
    formula = (
        f'<code class="formula">{html.escape(call.formula)}</code>' if call.formula else "<br>" * bool(call.inside)
    )
    bar = f'<span class="bar" style="width: {100 * call.own_seconds / longest:.0f}px"></span>'
    file, line = call.called
    text = html.escape(f"{short(call.called)}: {linecache.getline(file, line).strip()}")
    caller = f'<code class="path">{text}</code>' if call.inside else ""
    return (
        f'<span class="small">{call.number}.</span> <span class="name">{html.escape(name)}</span> {path}{place}<br>'
        f"{caller}{formula}"
        f'{bar}<span class="small">{html.escape(" · ".join(facts))}</span>'
    )


def _answers(trace):
    """{(file, line): numbers} of the lines that call a step or its backward, with one number per pair."""
    numbers: dict = {}
    answers: dict = {}
    for step in trace.steps:
        if step.backward is not None:
            number = numbers.setdefault(step.forward.called, len(numbers) + 1)
            for call in (step.forward, step.backward):
                answers.setdefault(call.called, {})[number] = None
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
    return side_by_side(codes, symbols_of(functions), answers, anchor)


def side_by_side(codes: Any, symbols: Any = (), answers: Any = None, anchor: str = "") -> str:
    """The sources of a forward and of its backward as HTML, each given as a tuple of code objects. Names in symbols
    have the colour of their gradients, lines in answers, {(file, line): numbers}, that of the line that answers."""
    sides = ["".join(_listing(code, symbols, answers or {}) for code in side) for side in codes]
    return f'<div class="pair" id="{anchor}">{"".join(f"<div>{side}</div>" for side in sides)}</div>'


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
        pairs = list(answers.get((code.co_filename, number), ()))
        start = f'<span class="line answer" style="--tint: {pairs[0]}">' if pairs else '<span class="line">'
        tag = ",".join(map(str, pairs))
        shown.append(f'{start}<span class="n">{tag:>5} {number:5d} </span>{text}</span>')
    place = html.escape(short((code.co_filename, first)))
    return f'<span class="path">{place}</span><pre>{"".join(shown)}</pre>'


def _lines(code):
    """(the lines of a function, the number of the first), or one line in their place if its source is not available."""
    try:
        return inspect.getsourcelines(code)
    except OSError:
        return ["# source not available"], code.co_firstlineno

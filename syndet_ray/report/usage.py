"""Sentences on the hours that a run held and used, and what they cost."""

from collections.abc import Iterator

from syndet_ray.analysis.spending import Spending
from syndet_ray.analysis.usage import NodeHours, Usage
from syndet_ray.wording import counted, duration, hours_number, money, percent

_LEAST_SHARE = 0.005  # of hours: less is not worth a word


def sentences(usage: Usage | None, spending: Spending | None) -> list[str]:
    """Says how many hours a run held, how many of them no trial took, and what it cost; nothing for
    a run whose ledger does not have its nodes.
    """
    if usage is None:
        return []
    words = [_total(usage), _training(usage), _idle(usage), _computing(usage), _waiting(usage)]
    if spending is not None:
        words += _costs(usage, spending)
    return [sentence for sentence in words if sentence]


def _total(usage: Usage) -> str:
    nodes = "; ".join(_node_words(nodes) for nodes in usage.nodes)
    hours = hours_number(usage.count(usage.total))
    return f"The run held {hours} {usage.resource} hours (hours of nodes: {nodes})."


def _node_words(nodes: NodeHours) -> str:
    parts = [counted(int(nodes.cores), "core")]
    if nodes.gpus:
        parts.insert(0, counted(int(nodes.gpus), "GPU"))
    return f"{hours_number(nodes.hours)} with {' and '.join(parts)}"


def _training(usage: Usage) -> str:
    trained = f"Trials trained in {hours_number(usage.count(usage.trained))} of them"
    rest = usage.count(usage.total) - usage.count(usage.for_trials)
    if rest < _LEAST_SHARE * usage.count(usage.total):
        return f"{trained}."
    return f"{trained}; {hours_number(rest)} are not for trials, such as those of a head."


def _idle(usage: Usage) -> str:
    offered, idle = usage.count(usage.for_trials), usage.count(usage.idle)
    if not offered:
        return ""
    parts = {
        "before the first trial trained": usage.idle_at_start,
        "in between": usage.idle_between,
        "from the start of the last one to the end of the run": usage.idle_at_end,
    }
    times = []
    for when, hours in parts.items():
        if usage.count(hours) >= _LEAST_SHARE * idle:
            times.append(f"{hours_number(usage.count(hours))} {when}")
    when_idle = f": {', '.join(times)}" if idle else ""
    return (
        f"{hours_number(idle)} {usage.resource} hours that trials could have taken were idle "
        f"({percent(idle / offered)}){when_idle}."
    )


def _computing(usage: Usage) -> str:
    if usage.gpu_percent is None:
        return ""
    return f"While trials had them, GPUs computed in {usage.gpu_percent:.0f} % of the time."


def _waiting(usage: Usage) -> str:
    """Returns "" for less than a second, which is not worth a sentence."""
    if usage.waited_s < 1:
        return ""
    return f"Trials waited {duration(usage.waited_s)} for scenes, all together."


def _costs(usage: Usage, spending: Spending) -> Iterator[str]:
    idle = f"{money(spending.idle)} of it for idle {usage.resource}s"
    yield f"At {spending.prices.words()} the run cost {money(spending.total)}, {idle}."
    if spending.to_best is not None:
        recipe = f"the best recipe (trial {spending.best}) had been trained once"
        yield f"It had cost {money(spending.to_best)} when {recipe}."

"""Page: the report of a run as one HTML file that needs nothing else."""

import base64
import time
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from syndet_ray import verdict
from syndet_ray.report import answer, figures, response, tables, words
from syndet_ray.results import RunFolder, Trial, write_whole
from syndet_ray.space import SearchSpace
from syndet_ray.sweep import Sweep

_DAY = "%Y-%m-%d %H:%M %Z"
_HASH_DIGITS = 12


def write(folder: RunFolder) -> Path:
    """Draws the figures and writes report.html; returns its path."""
    drawn = {path.stem: _embedded(path) for path in figures.draw_all(folder)}
    html = _template().render(content(folder), figures=drawn)
    return write_whole(folder.report, html.encode())


def content(folder: RunFolder) -> dict[str, Any]:
    """Everything that the page says, but for its figures."""
    trials, test, sweep = folder.trials(), folder.test(), folder.sweep
    best = tables.best_number(trials, test)
    lines = tables.test_lines(test, trials) if test else ()
    return {
        "name": folder.about.get("name", folder.path.name),
        "question": sweep.question,
        "answer": answer.answer(folder),
        "stand_in": tables.is_stand_in(folder),
        "where": words.where(test) if test else "",
        "opened": words.opened(test) if test else "",
        "metrics": tables.MAIN_METRICS,
        "test": lines,
        "confirmed": any(line.confirmed for line in lines),
        "against": list(dict.fromkeys(control for line in lines for control in line.differences)),
        "variants": tables.variant_lines(folder),
        "objects": response.objects_response(trials),
        "costs": words.COSTS,
        "front": response.front(trials, sweep),
        "trials": tables.trial_table(trials, best),
        "schedules": words.SCHEDULES if any(_changes(trial) for trial in trials) else "",
        "twins": verdict.twins(trials),
        "failures": tables.failures(trials),
        "classes": tables.class_table(test, trials) if test else None,
        "facts": facts(folder),
        "sweep": sweep.model_dump_json(indent=1),
    }


def facts(folder: RunFolder) -> list[tuple[str, str]]:
    """How the run was made, as far as run.json and the sweep tell; what is not known is left out."""
    about, sweep = folder.about, folder.sweep
    real, test = about.get("real") or {}, folder.test()
    found = {
        "command": about.get("command"),
        "stopped": about.get("stopped"),
        "seed": about.get("seed", sweep.seed),
        "varied": _space(sweep.space),
        "goals": " and ".join(f"{goal} {way}d" for goal, way in zip(sweep.objective, sweep.goals, strict=True)),
        "search": f"{sweep.trials} trials by {sweep.sampler}, {len(sweep.fixed)} controls and variants, {sweep.rungs} rungs",
        "pruner": sweep.pruning.name if len(sweep.goals) == 1 else "none, for there are several goals",
        "confirmation": _confirmation(sweep),
        "test set": words.opened(test) if test else "not opened",
        "detector": sweep.recipe.detector.name,
        "real data": "stand-in set" if tables.is_stand_in(folder) else real.get("path"),
        "classes": ", ".join(about.get("classes", ())),
        "images": _listed(real.get("counts")),
        "objects": _listed(real.get("objects")),
        "data hashes": _listed({split: name[:_HASH_DIGITS] for split, name in real.get("hashes", {}).items()}),
        "notes": "; ".join(real.get("notes", ())),
        "versions": _listed(about.get("versions")),
        "machine": _listed(about.get("machine")),
        "started": _moment(about.get("started")),
        "finished": _moment(about.get("finished")),
        "time": _between(about.get("started"), about.get("finished")),
    }
    return [(name, str(value)) for name, value in found.items() if value not in (None, "")]


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("syndet_ray.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("number", "signed", "probability", "duration", "role_name", "setting_name", "setting_value")
    environment.filters |= {name: getattr(words, name) for name in names}
    return environment.get_template("page.html.j2")


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _space(space: tuple[str | SearchSpace, ...]) -> str:
    """What the search varied and within which bounds; the name where a space was never looked up."""
    return "; ".join(part if isinstance(part, str) else _bounds(part) for part in space)


def _bounds(space: SearchSpace) -> str:
    return "; ".join(f"{path}: {words.bounds(parameter)}" for path, parameter in space.items())


def _confirmation(sweep: Sweep) -> str:
    if not sweep.confirm.seeds or not sweep.proposals:
        return ""
    fixed = "the controls and the variants" if sweep.variants else "the controls"
    return f"the best {sweep.confirm.top} and {fixed}, {words.counted(sweep.confirm.seeds, 'seed')} each"


def _changes(trial: Trial) -> bool:
    """Whether what a trial was shown changed while it trained."""
    return trial.recipe.get("mix.schedule") in ("staged", "annealed")


def _listed(values: dict[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (values or {}).items())


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime(_DAY, time.localtime(seconds))


def _between(started: float | None, finished: float | None) -> str:
    return "" if started is None or finished is None else words.duration(finished - started)

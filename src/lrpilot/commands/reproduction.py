"""The subcommands ``lrpilot reproduce`` and ``lrpilot report``: they parse, call and print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from lrpilot.experiments.choices import check_found, choose
from lrpilot.experiments.runs.execute import Engine, complete
from lrpilot.experiments.studies.catalogue import EXPERIMENTS, plans_of

from .options import Data, Pages, RetryFailed, close, command, path_option, stoppable, with_options_of
from .terminal import say, show

ALL = "all"

ProfileName = Annotated[
    str,
    typer.Option(
        "--profile",
        help="How long it all takes: smoke (minutes), quick (hours), long (the paper's lengths at quick's settings: "
        "about 40 hours of one core) or paper (weeks).",
    ),
]
ResultsFolder = Annotated[Path, path_option("Folder of all results, a subfolder for each profile.", "--results")]


@with_options_of(Engine)
def reproduce(
    names: Annotated[list[str], typer.Argument(help=f"{', '.join(EXPERIMENTS)}; or {ALL}.")],
    profile: ProfileName = "smoke",
    results: ResultsFolder = Path("results"),
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Only runs whose name, EXPERIMENT/TASK/METHOD/SETTING/seed-N, contains this; may be repeated."
        ),
    ] = None,
    retry_failed: RetryFailed = False,
    data: Data = None,
    **engine: Any,
) -> None:
    """Reproduce the paper's tables and figures: run what is missing, print the tables, draw the figures.

    To resume, give the same command again.
    """
    from lrpilot.experiments.report.evidence import Evidence
    from lrpilot.experiments.report.page import Picture
    from lrpilot.experiments.report.sections import WRITERS
    from lrpilot.experiments.report.tables import Table
    from lrpilot.experiments.runs.store import Store
    from lrpilot.experiments.studies.profiles import PROFILES

    size = choose("profile", profile, PROFILES)
    names = [choose("name", name, {each: each for each in (*EXPERIMENTS, ALL)}) for name in names]
    chosen = list(EXPERIMENTS) if ALL in names else names
    store, console = Store(results / size.name), Console()
    plans = plans_of(chosen, size, store)
    if only:
        check_found("--only", only, [trial.name for plan in plans.values() for trial in plan()])
    with stoppable(console, f"Finished runs are in {store.root}; give the same command again to resume."):
        tally = complete(
            plans,
            store,
            engine=Engine(**engine, data=data),
            retry_failed=retry_failed,
            only=lambda trial: not only or any(text in trial.name for text in only),
            console=console,
        )
    evidence = Evidence.load(size, store, chosen)
    for name in chosen:
        for block in WRITERS[name](evidence):
            if isinstance(block, Table):
                show(console, block)
            elif isinstance(block, Picture):
                say(console, str(block.write(store.root / "report")))
    pages = command("report", "--profile", size.name, "--results", results)
    close(console, tally, f"Results in {store.root}\nPages: {pages}")


def report(
    profile: ProfileName = "quick",
    results: ResultsFolder = Path("results"),
    out: Annotated[Path | None, path_option("Folder of the pages; default RESULTS/PROFILE/report.")] = None,
    readme: Pages = None,
) -> None:
    """Write all results as a Markdown page and a self-contained HTML page, and print their conclusions."""
    from lrpilot.experiments.report import starts, suite
    from lrpilot.experiments.report.conclusions import conclusions
    from lrpilot.experiments.report.evidence import Evidence
    from lrpilot.experiments.report.report import update_readme, write_report
    from lrpilot.experiments.runs.store import Store
    from lrpilot.experiments.studies.profiles import PROFILES

    size = choose("profile", profile, PROFILES)
    compared, console = Store(results), Console()
    with console.status("reading results") as status:
        evidence = Evidence.load(size, Store(results / size.name))
        status.update("comparing methods")
        before = [*starts.sections(compared), *suite.sections(compared)]
        cards = conclusions(evidence, compared)
        status.update("drawing")
        pages = write_report(evidence, out or evidence.root / "report", cards=cards, before=before)
        for file in readme or []:
            status.update(f"writing {file}")
            update_readme(file, evidence, compared=compared)
    for card in cards:
        console.print(f"[bold]{escape(card.value)}[/bold] {escape(card.text)}\n", highlight=False)
    for file in (*pages, *(readme or [])):
        say(console, str(file))

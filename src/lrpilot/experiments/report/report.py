"""``results/`` -> one Markdown page, one self-contained HTML page, and the README's results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.comparison import ROOT
from lrpilot.experiments.studies.profiles import PROFILES

from .claims import verdicts
from .conclusions import in_short, in_words, on_the_paper, on_the_suite
from .evidence import Evidence
from .page import Block, Card, Section, markdown, write_page
from .readme import fill, parts
from .sections import WRITERS, sections, summary
from .starts import headline, shown, standings
from .suite import compared_blocks, suite_blocks, suite_rows
from .tables import Table


def write_report(
    evidence: Evidence, folder: Path, *, cards: Sequence[Card] = (), before: Sequence[Section] = ()
) -> tuple[Path, Path]:
    """Write ``report.md`` (pictures beside it) and ``report.html`` (everything in it) into ``folder``.

    The conclusions come first, as ``cards``, then sections ``before``, such as those on comparisons.

    Raises:
        InvalidArgument: there is no result of this profile, and nothing comes before.
    """
    written = [*before, *sections(evidence)]
    name = evidence.profile.name
    if not written:
        raise InvalidArgument("results", f"a folder with results of profile {name}", str(evidence.root))
    return write_page(f"lrpilot: results, profile {name}", cards, written, folder)


def update_readme(readme: Path, evidence: Evidence, *, compared: Store) -> None:
    """Write those parts of a file that come from results, each between its marker lines (:mod:`~.readme`).

    ``headline`` is the picture of the comparisons, ``comparison`` their table, ``short`` what they and the suite say in
    five sentences, ``judged`` what the suite says, ``evidence`` what the comparisons say, what the pilot costs in them
    and how large they are, ``paper`` how many of the paper's claims hold, ``results`` the methods of the paper's tables
    beside each other, ``claims`` the verdicts on its claims, ``suite`` and ``compared`` where each method stands over
    the suite's tasks and over those of all comparisons; a part named after an experiment is its tables, one named after
    a figure of the paper its pictures, which are written into ``figures/`` beside the file. ``long/claims`` is
    ``claims`` of profile ``long``, whatever profile ``evidence`` is of. A part without any results stays as it is, and
    so does one that another command writes. Other pictures are written where the results are, that of the comparisons
    as ``compare/headline.png``.

    Raises:
        InvalidArgument: the file has no such part.
    """
    split = ((name, *name.rpartition("/")[::2]) for name in parts(readme))
    named = [one for one in split if one[1] in {"", *PROFILES} and one[2] in PARTS]
    if not named:
        raise InvalidArgument("readme", "a file with marker lines such as <!-- results:begin -->", str(readme))
    loaded = {"": evidence}
    for name, profile, part in named:
        if profile not in loaded:
            loaded[profile] = Evidence.load(PROFILES[profile], Store(compared.root / profile))
        pictures = readme.parent / "figures" / profile if part in WRITERS else compared.root
        pictures = pictures / ROOT if part == "headline" else pictures
        if content := markdown(PARTS[part](loaded[profile], compared), readme, pictures=pictures):
            fill(readme, name, content)


def _results(evidence: Evidence, _: Store) -> Iterable[Block]:
    table, name = summary(evidence), evidence.profile.name
    if table.rows:
        yield f"Profile `{name}`; `lrpilot report` writes every table, setting and picture as one page."
        yield table


def _of_experiment(name: str, evidence: Evidence, _: Store) -> Iterable[Block]:
    """Its tables; of a figure of the paper, which has none, its pictures."""
    blocks = [*WRITERS[name](evidence)]
    return [block for block in blocks if isinstance(block, Table)] or blocks


PARTS: Mapping[str, Callable[[Evidence, Store], Iterable[Block]]] = {
    "headline": lambda _, compared: [drawn] if (drawn := headline(shown(compared))) else [],
    "comparison": lambda _, compared: [standings(shown(compared))],
    "short": lambda _, compared: [in_short(compared)],
    "judged": lambda _, compared: [on_the_suite(compared)],
    "evidence": lambda _, compared: [in_words(compared)],
    "paper": lambda evidence, _: [on_the_paper(evidence.runs)],
    "results": _results,
    "claims": lambda evidence, _: [verdicts(evidence.runs)],
    "suite": lambda _, compared: suite_blocks(suite_rows(compared)),
    "compared": lambda _, compared: [in_words(compared, "compared.md"), *compared_blocks(compared)],
    **{name: partial(_of_experiment, name) for name in WRITERS},
}
"""By name what stands in a part of a file: see :func:`update_readme`."""

"""``results/`` -> one Markdown page, one self-contained HTML page, and the README's results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.comparison import ROOT

from .claims import verdicts
from .conclusions import in_words, on_the_paper, on_the_suite
from .evidence import Evidence
from .page import Card, Section, markdown, write_page
from .readme import fill, parts
from .sections import FIGURES, WRITERS, sections, summary
from .starts import headline, shown, standings
from .suite import PARTS
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

    ``headline`` is the picture of all comparisons, ``comparison`` their table, ``evidence`` what they say in a few
    sentences, ``judged`` what the suite says, ``paper`` how many of the paper's claims hold, ``results`` the methods of
    the paper's tables beside each other, ``claims`` the verdicts on its claims, ``suite`` and ``compared`` where each
    method stands over the suite's tasks and over those of all comparisons; a part named after an experiment is its
    tables, one named after a figure of the paper its pictures, which are written into ``figures/`` beside the file. A
    part without any results stays as it is, and so does one that another command writes. Other pictures are written
    where the results are, that of the comparisons as ``compare/headline.png``.

    Raises:
        InvalidArgument: the file has no such part.
    """
    named = [name for name in parts(readme) if name in (*FACE, "results", "claims", *WRITERS, *PARTS)]
    if not named:
        raise InvalidArgument("readme", "a file with marker lines such as <!-- results:begin -->", str(readme))
    for name in named:
        if name in PARTS:
            content = markdown(PARTS[name](compared), readme, pictures=compared.root)
        else:
            content = _face(name, readme, evidence, compared) if name in FACE else _part(name, evidence, readme)
        if content:
            fill(readme, name, content)


FACE = ("headline", "comparison", "judged", "evidence", "paper")


def _face(name: str, readme: Path, evidence: Evidence, compared: Store) -> str:
    if name in ("evidence", "judged", "paper"):
        said = {"evidence": in_words, "judged": on_the_suite}
        return said[name](compared) if name in said else on_the_paper(evidence.runs)
    comparisons = shown(compared)
    block = headline(comparisons) if name == "headline" else standings(comparisons)
    return markdown([block], readme, pictures=compared.root / ROOT) if block else ""


def _part(name: str, evidence: Evidence, page: Path) -> str:
    if name in WRITERS:
        blocks = [block for block in WRITERS[name](evidence) if name in FIGURES or isinstance(block, Table)]
    else:
        blocks = [summary(evidence) if name == "results" else verdicts(evidence.runs)]
    text = markdown(blocks, page, pictures=page.parent / "figures")
    profile = evidence.profile.name
    head = f"Profile `{profile}`; `lrpilot report` writes every table, setting and picture as one page."
    return f"{head}\n\n{text}" if name == "results" and text else text

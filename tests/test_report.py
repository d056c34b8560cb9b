"""Results to pages: complete, self-contained, opened by a browser; the README; the two commands."""

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from lrpilot.cli import main
from lrpilot.errors import InvalidArgument
from lrpilot.experiments.report.evidence import Evidence
from lrpilot.experiments.report.page import Card, Picture
from lrpilot.experiments.report.report import update_readme, write_report
from lrpilot.experiments.report.sections import WRITERS, summary
from lrpilot.experiments.runs import execute
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.catalogue import EXPERIMENTS, with_needs
from lrpilot.experiments.studies.profiles import QUICK, SMOKE
from made_up import result

pytestmark = pytest.mark.integration

CARDS = [Card("1.5x", "from <any> start"), Card("3 of 4", "claims hold")]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def pretend(trial, data=None):
    """Every method learns, but for one that diverges in each task; actor-critics log what they log."""
    made = result("diverged" if trial.setting.get("lr") == 0.1 else "finished", trial=trial, errors=(9, 4, 2.34))
    if trial.method.startswith("online"):
        made.curve["dq_da"] = [0.5, -0.5]
    return made


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Made-up results of everything."""
    store = Store(tmp_path_factory.mktemp("results") / "smoke")
    for name in with_needs(EXPERIMENTS):
        while missing := store.missing(EXPERIMENTS[name].plan(SMOKE, store)):
            store.save(*map(pretend, missing))
    return store


@pytest.fixture(scope="module")
def pages(store, tmp_path_factory):
    return write_report(Evidence.load(SMOKE, store), tmp_path_factory.mktemp("report"), cards=CARDS)


def test_every_experiment_has_a_section_with_a_table_or_a_picture(pages):
    text = pages[0].read_text()
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    assert list(sections) == ["Runs", "The paper's claims", *(experiment.title for experiment in EXPERIMENTS.values())]
    for experiment in EXPERIMENTS.values():
        assert re.search(r"!\[|\| --- \|", sections[experiment.title]), experiment.title
    assert WRITERS.keys() == EXPERIMENTS.keys()


def test_the_papers_numbers_stand_beside_ours(pages):
    text = pages[0].read_text()
    sgd = next(line for line in text.split("\n") if line.startswith("| SGD | lr=0.01 |"))
    assert "| 2.34 |" in sgd
    assert sgd.endswith("| 0.75 |")
    assert "2.34 (2.04)" in text  # M1, the actor-critic, in the paper's form
    adagrad = next(line for line in text.split("\n") if line.startswith("| Adagrad | lr=0.01 |") and "21.54" in line)
    assert adagrad.count("2.34") == 3  # CIFAR-10 in errors too, the paper's accuracy of 78.46 among them
    assert "97.66" not in text


def test_diverged_runs_are_shown(pages):
    assert re.search(r"\| table3 \| \d+ \| \d+ \| [1-9]\d* \| 0 \|", pages[0].read_text())
    assert "90.00 ± 0.00 (2 diverged)" in pages[0].read_text()


def test_markdown_refers_to_pictures_that_are_there(pages):
    names = re.findall(r"\]\((.*?)\)", pages[0].read_text())
    assert len(names) == len(set(names)) >= 10
    assert all((pages[0].parent / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_html_needs_no_other_file(pages):
    text = pages[1].read_text()
    assert not re.search(r'(?:src|href)="(?!#)', text)
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)  # the namespaces of SVG are names, not addresses
    assert "@import" not in text
    assert "fetch(" not in text


def test_every_picture_is_there_as_png_and_as_svg(pages):
    pngs, svgs = ({path.stem for path in pages[0].parent.glob(f"*.{kind}")} for kind in ("png", "svg"))
    assert pngs == svgs != set()


def test_the_same_results_give_the_same_pictures(store):
    evidence = Evidence.load(SMOKE, store)
    first, again = (next(iter(WRITERS["figure4"](evidence))).png for _ in range(2))
    assert first == again
    assert first != next(iter(WRITERS["figure6"](evidence))).png


CLICKS = """
addEventListener('load', () => {
  const found = {}, at = selector => document.querySelector(selector);
  const column = (table, place) => [...table.tBodies[0].rows].map(row => row.cells[place].textContent);
  const figures = [...document.querySelectorAll('figure')];
  found.pictures = figures.filter(figure => figure.querySelector('svg').getBoundingClientRect().width > 200).length;
  found.rows = document.querySelectorAll('tbody tr').length;
  found.cards = [...document.querySelectorAll('.card strong')].map(card => card.textContent);
  scrollTo(0, 2000);
  found.contentsStay = at('nav').getBoundingClientRect().top === 0;

  const table = [...document.querySelectorAll('table')].find(table => table.tHead.textContent.includes('rank'));
  const ranks = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent === 'rank');
  table.tHead.rows[0].cells[ranks].click();
  found.up = column(table, ranks);
  table.tHead.rows[0].cells[ranks].click();
  found.down = column(table, ranks);

  at('#filter').value = 'adam';
  at('#filter').dispatchEvent(new Event('input'));
  const left = [...table.tBodies[0].rows].filter(row => !row.hidden);
  found.filtered = left.map(row => row.cells[0].textContent);
  at('#filter').value = '';
  at('#filter').dispatchEvent(new Event('input'));
  found.again = [...table.tBodies[0].rows].filter(row => row.hidden).length;

  const figure = figures.find(figure => figure.querySelector('.curves button'));
  const button = figure.querySelector('.curves button'), curve = figure.querySelector('.curve');
  const visible = () => curve.getBoundingClientRect().width > 0;
  found.curve = [button.textContent, curve.dataset.of];
  found.shown = [visible()];
  for (const _ of 'ab') { button.click(); found.shown.push(visible()); }

  const path = figure.querySelector('.curve > path'), point = path.getPointAtLength(path.getTotalLength() / 2);
  const place = point.matrixTransform(path.getScreenCTM());
  path.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, clientX: place.x, clientY: place.y}));
  found.tip = [at('#tip').hidden, path.closest('.curve').dataset.of, at('#tip').textContent];
  figure.querySelector('svg').dispatchEvent(new PointerEvent('pointerleave'));
  found.left = at('#tip').hidden;

  const folded = [...document.querySelectorAll('main details')];
  found.folded = folded.map(details => details.open);
  folded[0].querySelector('summary').click();
  found.unfolded = folded[0].open;
  document.title = JSON.stringify(found);
});
"""


def in_browser(page, script, tmp_path, *options):
    """What a browser makes of the page's title once the script has run."""
    browser = os.environ.get("LRPILOT_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("needs Chromium (on the path, or named by LRPILOT_CHROMIUM)")
    copy = tmp_path / "page.html"
    copy.write_text(page.read_text().replace("</body>", f"<script>{script}</script></body>"))
    shown = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", *options, "--dump-dom", copy.as_uri()],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout
    return json.loads(html.unescape(re.search(r"<title>(.*?)</title>", shown)[1]))


def test_in_a_browser_everything_on_the_page_answers_a_click(pages, tmp_path):
    text = pages[1].read_text()
    found = in_browser(pages[1], CLICKS, tmp_path)
    assert found["pictures"] == text.count("<figure>") > 10
    assert found["rows"] == text.count("<tr>") - text.count("<thead><tr>")
    assert found["cards"] == [card.value for card in CARDS]
    assert found["contentsStay"]
    assert found["up"] == sorted(found["up"], key=int)
    assert found["down"] == sorted(found["down"], key=int, reverse=True)
    assert found["up"] != found["down"]
    assert len(found["filtered"]) == 3
    assert set(found["filtered"]) == {"Adam", "D-Adaptation Adam", "Schedule-Free AdamW"}
    assert found["again"] == 0
    assert found["curve"][0] == found["curve"][1]
    assert found["shown"] == [True, False, True]
    hidden, name, tip = found["tip"]
    assert not hidden
    assert re.fullmatch(re.escape(name) + r": [\d.,]+, [\d.,]+", tip)
    assert found["left"]
    assert found["folded"] == [False] * len(found["folded"])
    assert found["unfolded"]


def test_on_a_phone_contents_are_folded_and_nothing_sticks_out(pages, tmp_path):
    script = """
    addEventListener('load', () => document.title = JSON.stringify({
      open: document.querySelector('nav details').open,
      wider: document.documentElement.scrollWidth - innerWidth,
      nav: document.querySelector('nav').offsetHeight}));
    """
    found = in_browser(pages[1], script, tmp_path, "--window-size=500,900")
    assert not found["open"]
    assert found["wider"] <= 0
    assert found["nav"] < 100


def test_runs_that_failed_at_once_still_make_every_picture(tmp_path):
    store = Store(tmp_path / "smoke")
    nothing = {"steps": 0, "curve": {"step": [], "train_loss": [], "rate": []}}
    for name in ("table1", "table2", "figure4", "figure6"):
        for trial in EXPERIMENTS[name].plan(SMOKE, store):
            made = result("failed", trial=trial)
            looked_at = {measure: [] for measure in made.evaluations}
            store.save(replace(made, evaluations=looked_at, **nothing))
    evidence = Evidence.load(SMOKE, store)
    for name in ("table1", "table2", "figure2", "figure3", "figure4", "figure5", "figure6"):
        for block in WRITERS[name](evidence):
            if isinstance(block, Picture):
                assert block.png.startswith(b"\x89PNG")


def test_partial_results_make_a_page_too(tmp_path):
    store = Store(tmp_path / "smoke")
    trials = EXPERIMENTS["table3"].plan(SMOKE, store)
    store.save(pretend(trials[0]))
    text = write_report(Evidence.load(SMOKE, store), tmp_path / "report")[0].read_text()
    assert "## Table 3" in text
    assert "## Figure 4" not in text


def test_an_appendix_without_its_studies_has_a_table_and_no_picture(tmp_path):
    store = Store(tmp_path / "smoke")
    trials = EXPERIMENTS["appendix"].plan(SMOKE, store)
    store.save(*(pretend(trial) for trial in trials if trial.method.startswith("untrained")))
    blocks = list(WRITERS["appendix"](Evidence.load(SMOKE, store, ["appendix"])))
    assert blocks
    assert not any(isinstance(block, Picture) for block in blocks)


def test_no_results_is_an_error(tmp_path):
    with pytest.raises(InvalidArgument, match="results must be a folder with results of profile smoke"):
        write_report(Evidence.load(SMOKE, Store(tmp_path)), tmp_path / "report")


BEGIN, END = "<!-- results:begin (by a command) -->", "<!-- results:end -->"


def test_readme_gets_the_tables_between_its_markers(store, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter\n")
    update_readme(readme, Evidence.load(SMOKE, store), compared=Store(tmp_path))
    once = readme.read_text()
    assert once.startswith(f"# Before\n\n{BEGIN}\n")
    assert once.endswith(f"{END}\n\nAfter\n")
    assert "old" not in once
    assert "| method | M0 | M1 | M2 | MNIST CNN | CIFAR-10 CNN |" in once
    assert "| SGD | 2.34 ± 0.00 | 2.34 ± 0.00 | 2.34 ± 0.00 | 2.34 (0.75) | 2.34 (21.26) |" in once
    update_readme(readme, Evidence.load(SMOKE, store), compared=Store(tmp_path))
    assert readme.read_text() == once
    readme.write_text("# No markers\n")
    with pytest.raises(InvalidArgument, match="readme"):
        update_readme(readme, Evidence.load(SMOKE, store), compared=Store(tmp_path))
    assert readme.read_text() == "# No markers\n"


def test_the_summary_says_which_network_is_not_complete(store, tmp_path):
    partly = Store(tmp_path / "smoke")
    made = [store.load(trial) for trial in EXPERIMENTS["table3"].plan(SMOKE, store) if trial.task != "m2"]
    partly.save(*made[1:])  # of M0's one is left out
    figure = [store.load(trial) for trial in EXPERIMENTS["start"].plan(SMOKE, store)]
    partly.save(*figure[:-1])  # of no table
    note = summary(Evidence.load(SMOKE, partly)).note
    assert re.fullmatch(r".* Not complete: M0 lacks at least \d+ of its runs\.", note)
    assert "Not complete" not in summary(Evidence.load(SMOKE, store)).note


def test_a_readme_keeps_the_line_ends_of_windows(store, tmp_path):
    readmes = tmp_path / "unix.md", tmp_path / "windows.md"
    for readme, end in zip(readmes, ("\n", "\r\n"), strict=True):
        readme.write_bytes(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter\n".replace("\n", end).encode())
        update_readme(readme, Evidence.load(SMOKE, store), compared=Store(tmp_path))
    unix, windows = (readme.read_bytes() for readme in readmes)
    assert b"| SGD | 2.34" in unix
    assert windows == unix.replace(b"\n", b"\r\n")


def test_a_part_named_after_an_experiment_is_its_tables(store, tmp_path):
    page = tmp_path / "results.md"
    blank = "".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in ("claims", "discount", "overhead"))
    page.write_text(blank)
    update_readme(page, Evidence.load(SMOKE, store), compared=Store(tmp_path))
    claims, discount, overhead = page.read_text().split(":begin -->")[1:]
    assert "| the lowest test error, MNIST CNN | Table 1 | " in claims
    assert "**M0: the discount, 60 steps**" in discount
    assert "![" not in discount
    assert overhead == "\n<!-- overhead:end -->\n"


def test_a_part_that_names_a_profile_is_that_profiles(store, tmp_path):
    page = tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    named = ("claims", "smoke/claims", "smoke/figure2", "weekly/claims")
    page.write_text("".join(f"<!-- {name}:begin -->\nas before\n<!-- {name}:end -->\n" for name in named))
    update_readme(page, Evidence.load(QUICK, Store(tmp_path / "quick")), compared=Store(store.root.parent))
    quick, claims, figure, unknown = page.read_text().split(":begin -->")[1:]
    assert "as before" in quick  # of which there are no results
    assert "as before" in unknown
    assert "| the lowest test error, MNIST CNN | Table 1 | " in claims
    assert "](figures/smoke/figure2.png)" in figure


def test_a_part_named_after_a_figure_is_its_pictures_beside_the_page(store, tmp_path):
    page = tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    page.write_text("".join(f"<!-- figure{n}:begin -->\n<!-- figure{n}:end -->\n" for n in range(2, 7)))
    update_readme(page, Evidence.load(SMOKE, store), compared=Store(tmp_path))
    linked = re.findall(r"!\[(Figure \d).*?\]\((figures/.*?\.png)\)", page.read_text())
    assert {number for number, _ in linked} == {f"Figure {n}" for n in range(2, 7)}
    for _, link in linked:
        assert (page.parent / link).read_bytes().startswith(b"\x89PNG")


def command(*arguments):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return left.value.code


def test_commands_make_runs_and_pages(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(execute, "perform", pretend)
    results = ["--results", str(tmp_path), "--profile", "smoke"]
    assert command("reproduce", "discount", *results, "--only", "m1/online-stable") == 0
    out = capsys.readouterr().out
    assert "M1: the discount" in out
    assert "5 done, 0 diverged, 0 failed" in out  # five discounts
    assert command("reproduce", "all", *results, "--only", "no such run") == 2
    assert "--only must be part of the name of one of the" in capsys.readouterr().err
    assert command("reproduce", "table3", *results, "--only", "m2/sgd") == 0
    out = capsys.readouterr().out
    assert "M2" in out
    assert (tmp_path / "smoke/report/table3-m2-rates.png").exists()
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n")
    assert command("report", *results, "--readme", str(readme)) == 0
    assert (tmp_path / "smoke/report/report.html").exists()
    assert "| method | M2 |" in readme.read_text()


@pytest.mark.parametrize("arguments", [("report",), ("bench", "overhead", "--quick")])
def test_a_page_that_is_not_there_is_refused_at_once(arguments, tmp_path, capsys):
    assert command(*arguments, "--readme", str(tmp_path / "gone.md")) == 2
    assert capsys.readouterr().err == f"lrpilot: Invalid value for '--readme': there is no file '{tmp_path}/gone.md'\n"


def test_reproduce_fails_where_a_run_crashed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(execute, "perform", lambda trial, data: result("failed", trial=trial))
    arguments = ("reproduce", "discount", "--results", str(tmp_path), "--only", "m1/online-stable")
    assert command(*arguments) == 1
    assert "5 failed" in capsys.readouterr().out
    assert command(*arguments) == 0  # recorded: nothing is missing


def test_reproduce_says_how_to_go_on_after_ctrl_c(tmp_path, monkeypatch, capsys):
    def interrupt(trial, data):
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "perform", interrupt)
    assert command("reproduce", "discount", "--results", str(tmp_path)) == 130
    assert "give the same command again to resume" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("reproduce", "tabel1"), "did you mean table1"),
        (("reproduce", "table1", "--profile", "fast"), "smoke, quick, long, paper"),
        (("reproduce", "table1", "--workers", "0"), "workers"),
        (("report", "--profile", "paper", "--results", "nowhere"), "profile paper"),
    ],
)
def test_wrong_arguments_get_one_line(arguments, named, capsys):
    assert command(*arguments) == 2
    error = capsys.readouterr().err.strip()
    assert named in error
    assert "\n" not in error

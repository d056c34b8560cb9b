"""`make matrix` and CI try the same cells, and those that pyproject.toml promises."""

import re
import runpy
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
MATRIX = runpy.run_path(str(CHECKOUT / ".ci" / "matrix.py"))


def test_ci_tries_every_cell_under_its_python():
    tried = re.findall(
        r'\{python: "([\d.]+)", cell: ([\w./]+)\}', (CHECKOUT / ".github" / "workflows" / "ci.yml").read_text()
    )
    assert [cell for _, cell in tried] == MATRIX["CELLS"]
    assert all(cell.startswith(f"{python}/") for python, cell in tried)


def test_the_oldest_are_those_that_are_promised():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    (torch,) = (each for each in project["dependencies"] if each.startswith("torch"))
    (vision,) = (each for each in project["optional-dependencies"]["experiments"] if each.startswith("torchvision"))
    assert [f"{torch.replace('>=', '==')}.*", f"{vision.replace('>=', '==')}.*"] == MATRIX["TORCH"]["oldest"]
    assert project["requires-python"] == ">=" + MATRIX["CELLS"][0].partition("/")[0]


def test_the_quick_part_is_there():
    assert all((CHECKOUT / file).exists() for file in MATRIX["QUICK"])


def test_a_cell_that_is_none_is_refused(capsys):
    assert MATRIX["main"](["3.10/oldest"]) == 2
    assert "no such cell: 3.10/oldest" in capsys.readouterr().out

"""``python -m benchmarks.policy``: what the pilot's policy owes to its features, its action, its horizon, its tasks.

Every finding is one line of a JSON file, so that a study that was stopped goes on where it stood. Scores are those of
`lrpilot.learning.population.score.score` on the evaluation population: lower is better, a hundredth is one percent.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from pandas import DataFrame
from rich.console import Console

from benchmarks.ledger import Finding, Ledger
from lrpilot.commands.options import Page
from lrpilot.commands.terminal import show
from lrpilot.experiments.report.readme import fill
from lrpilot.experiments.report.tables import Table, mean_text
from lrpilot.experiments.studies.comparison import HIGH_STARTS
from lrpilot.learning.population.data import load_sources
from lrpilot.learning.population.evaluation import EvaluationPopulation
from lrpilot.learning.population.quadratic import best_schedule, expected_losses
from lrpilot.learning.population.schedules import SPACING
from lrpilot.learning.population.trainings import Pool
from lrpilot.learning.pretrain import Pretraining
from lrpilot.learning.pretrain_config import PretrainConfig
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.features import FEATURES
from lrpilot.pilot.policy import Policy

BUDGET = 25  # groups of schedules that a policy of the retrained studies learns from, without PPO
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "reference": {},
    "action: deviations from a constant rate": {"deviates": False},
    "horizon: scored after a tenth of the run": {"horizon": 0.1},
    "horizon: scored after a third of the run": {"horizon": 1 / 3},
    "population: a quarter of the groups": {"distil_groups": BUDGET // 4},
    "population: twice the groups": {"distil_groups": 2 * BUDGET},
}
HORIZONS = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
NOISES = (0.01, 0.1, 1.0)  # variance of a step's minimum: of the examples, over the batch size
QUADRATIC_STEPS, QUADRATIC_RUNS = 300, 40


def study(
    ledger: Ledger,
    policy: str | Path = "shipped",
    *,
    seeds: int = 3,
    report: Callable[[str], None] = lambda line: None,
) -> None:
    """Find out what is not in the ledger yet. An hour or two on one core.

    Args:
        ledger: where findings are, and go.
        policy: whose features are hidden, and which drives the runs on the quadratics.
        seeds: how often each of the :data:`VARIANTS` is learned anew.
        report: called with a line before each part.
    """
    torch.set_num_threads(1)
    shipped = Policy.load(policy)

    @cache
    def evaluation() -> EvaluationPopulation:
        return EvaluationPopulation.usual(Pool(load_sources(PretrainConfig().seed, mnist=PretrainConfig().mnist)))

    report("the fixed schedules of the evaluation population")
    ledger.complete({"study": "horizon"}, lambda: {"decades": short_horizons(evaluation())})
    for noise in NOISES:
        report(f"the noisy quadratic, variance {noise:g}")
        ledger.complete({"study": "quadratic", "variance": noise}, lambda noise=noise: quadratic(shipped, noise))
    for name in ("none", *FEATURES):
        report(f"hidden feature: {name}")
        place = None if name == "none" else FEATURES.index(name)
        key = {"study": "feature", "hidden": name}
        ledger.complete(key, lambda place=place: evaluation().judge(shipped, hidden=place))
    for seed in range(seeds):
        for variant, changes in VARIANTS.items():
            report(f"retrained, seed {seed}: {variant}")
            config = replace(
                PretrainConfig(), seed=seed, ppo_iterations=0, bank_rounds=0, **{"distil_groups": BUDGET, **changes}
            )
            key = {"study": "retrained", "variant": variant, "seed": seed}
            ledger.complete(key, lambda config=config: _retrained(config, evaluation()))


def _retrained(config: PretrainConfig, evaluation: EvaluationPopulation) -> Finding:
    with tempfile.TemporaryDirectory() as folder:
        run = Pretraining(config, Path(folder), evaluation=evaluation)
        run.finish()
    return evaluation.judge(run.policy, deviates=config.deviates)


def short_horizons(evaluation: EvaluationPopulation) -> dict[str, float]:
    """By share of the run: how far, in decades, the constant rate that is best by then lies above the best at the end.

    Best by the mean training loss of the decision interval that ends there; the mean over tasks.
    """
    found = {}
    for horizon in HORIZONS:
        shifts = []
        for ends, losses in evaluation.constants:
            interval = int((ends >= horizon - 1e-6).nonzero()[0])
            best, last = losses[interval].argmin(-1), losses[-1].argmin(-1)
            shifts.append((best - last) * SPACING / math.log(10))
        found[f"{horizon:g}"] = torch.cat(shifts).mean().item()
    return found


def quadratic(policy: Policy, variance: float) -> Finding:
    """Expected loss at the end, as multiples of the best schedule's: constants, linear decays, and the pilot.

    The curvature is h_i = 1 / i over 64 directions and every direction starts at a distance of 1, for 300 steps of SGD.
    The schedules' losses are exact, the best of a grid of forty rates; the pilot's are means over forty runs.
    """
    curvature, moments = 1 / torch.arange(1.0, 65.0), torch.ones(64)

    def loss(rates: torch.Tensor) -> float:
        return expected_losses(rates, curvature, moments, variance)[-1].item()

    steps = QUADRATIC_STEPS
    with torch.enable_grad():
        best = loss(best_schedule(curvature, moments, variance, steps=steps, iterations=300))
    grid = torch.logspace(-3, math.log10(1.9), 40)
    decay = 1 - torch.arange(steps) / steps
    driven = {f"{start:g}": _drive_quadratic(policy, curvature, variance, start) / best for start in HIGH_STARTS}
    return {
        "constant": min(loss(torch.full((steps,), rate.item())) for rate in grid) / best,
        "decay": min(loss(rate * decay) for rate in grid) / best,
        "pilot": driven,
    }


def _drive_quadratic(policy: Policy, curvature: torch.Tensor, variance: float, start: float) -> float:
    """The mean of 1/2 sum_i h_i w_i^2 at the end of the pilot's runs."""
    losses = []
    for seed in range(QUADRATIC_RUNS):
        generator = torch.Generator().manual_seed(seed)
        w = torch.nn.Parameter(torch.ones(64))
        optimizer = torch.optim.SGD([w], lr=start)
        pilot = Pilot(optimizer, total_steps=QUADRATIC_STEPS, policy=policy)
        for _ in range(QUADRATIC_STEPS):
            drawn = math.sqrt(variance) * torch.randn(64, generator=generator)
            loss = 0.5 * (curvature * (w - drawn).square()).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pilot.step(loss)
        losses.append(0.5 * (curvature * w.detach().square()).sum().item())
    return statistics.fmean(losses)


def policy_tables(findings: Sequence[Finding]) -> list[Table]:
    """What was found, a table for each study that has findings."""
    writers = {"feature": _features, "retrained": _variants, "horizon": _horizons, "quadratic": _quadratics}
    found = {name: [finding for finding in findings if finding["study"] == name] for name in writers}
    return [write(found[name]) for name, write in writers.items() if found[name]]


def _features(findings: Sequence[Finding]) -> Table:
    scores = DataFrame(findings).sort_values("score", ascending=False, kind="stable").set_index("hidden").score
    whole = scores.get("none", math.nan)
    rows = [[str(hidden), f"{score:.3f}", f"{score - whole:+.3f}"] for hidden, score in scores.items()]
    note = "The policy as it is, with one feature at 0, which is how a feature that was not measured reads."
    return Table("One feature hidden", ["hidden", "mean score", "change"], rows, note)


def _variants(findings: Sequence[Finding]) -> Table:
    runs, three = DataFrame(findings), partial(mean_text, digits=3)
    columns = {
        "mean score": ("score", three),
        "mean regret": ("regret", three),
        "median regret": ("median_regret", three),
        "seeds": ("score", lambda scores: str(len(scores))),
    }
    order = [variant for variant in VARIANTS if variant in set(runs.variant)]
    note = f"Each learned anew from {BUDGET} groups of schedules unless said, without PPO; scored after whole runs."
    return Table.of("Learned anew", "variant", runs.groupby("variant").agg(**columns).reindex(order), note)


def _horizons(findings: Sequence[Finding]) -> Table:
    (finding,) = findings
    header = ["judged after", *(f"{100 * float(share):g}% of the run" for share in finding["decades"])]
    rows = [["decades from the best rate at the end", *(f"{shift:+.2f}" for shift in finding["decades"].values())]]
    return Table("Short-horizon bias: which constant rate looks best", header, rows)


def _quadratics(findings: Sequence[Finding]) -> Table:
    rows = [
        [f"{each['variance']:g}", f"{each['constant']:.2f}", f"{each['decay']:.2f}"]
        + [f"{ratio:.2f}" for ratio in each["pilot"].values()]
        for each in findings
    ]
    header = ["variance", "best constant", "best linear decay", *(f"pilot from {start:g}" for start in HIGH_STARTS)]
    note = "Expected loss at the end as a multiple of that of the best possible schedule."
    return Table("The noisy quadratic against its optimum", header, rows, note)


app = typer.Typer(add_completion=False)


@app.command()
def policy(
    out: Annotated[Path, typer.Option(help="The file of findings, which grows: a line of JSON for each.")] = Path(
        "results/policy.jsonl"
    ),
    file: Annotated[
        str, typer.Option("--policy", help="The policy whose features are hidden: shipped, or a file.")
    ] = "shipped",
    seeds: Annotated[
        int, typer.Option(help="How often each variant of the pretraining is learned anew, some minutes each.", min=0)
    ] = 3,
    readme: Page = None,
) -> None:
    """What the policy loses without each of its parts; the noisy quadratic against its optimum. Hours on one core.

    What was found stays found: the same command goes on after a stop.
    """
    console, ledger = Console(), Ledger(out)
    with console.status("") as status:
        study(ledger, file, seeds=seeds, report=status.update)
    tables = policy_tables(list(ledger))
    for table in tables:
        show(console, table)
    if readme is not None:
        fill(readme, "policy", "\n\n".join(table.to_markdown() for table in tables))


if __name__ == "__main__":
    app()

"""What decides the shipped policy: the configuration of a pretraining."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PretrainConfig:
    """What decides the shipped policy. The defaults are the ones that made it.

    Attributes:
        seed: of everything drawn.
        mnist: whether MNIST at 8x8 is among the data (needs LRPILOT_DATA).
        width: units of actor and critic.
        shortest, longest: lengths of the runs, steps.
        blur: size of the random shifts of the features that depend on size (`flights.BLURRED`), as a factor.
        deviates, horizon: of the flights (`flights.fly`); other values are for ablations.
        anytime: share of the tasks whose length is hidden.
        distil_groups: groups of stage 1; distil_tasks: tasks in each; distil_flown: runs of the policy for
            each task, beside the schedules'.
        distil_updates: updates after each group, of four times ``distil_runs`` runs from the last
            ``distil_memory`` groups.
        distil_rate: Adam's rate at the start of stage 1.
        ppo_iterations: of stage 2; ppo_groups, ppo_tasks, ppo_replicas: flown in each.
        ppo_epochs: passes over them; ppo_rate: Adam's rate.
        exploration: standard deviation of the raw action in stage 2.
        clip: of the probability ratio.
        gae: decay of the advantage estimate.
        dense: share of the telescoping log-loss reward, beside the final score.
        evaluate_every: seconds between evaluations.
    """

    seed: int = 0
    mnist: bool = True
    width: int = 64
    shortest: int = 120
    longest: int = 11500
    blur: float = 1.0
    deviates: bool = True
    horizon: float = 1.0
    anytime: float = 0.12
    distil_groups: int = 90
    distil_tasks: int = 12
    distil_flown: int = 6
    distil_updates: int = 16
    distil_runs: int = 96
    distil_memory: int = 100
    distil_rate: float = 1.5e-3
    ppo_iterations: int = 50
    ppo_groups: int = 6
    ppo_tasks: int = 10
    ppo_replicas: int = 10
    ppo_epochs: int = 3
    ppo_rate: float = 3e-4
    exploration: float = 0.08
    clip: float = 0.2
    gae: float = 0.97
    dense: float = 0.3
    evaluate_every: float = 480.0

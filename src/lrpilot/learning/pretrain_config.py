"""What decides a policy: the configuration of a pretraining."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PretrainConfig:
    """What decides a policy. What made the shipped one stands in its file and in docs/policy-card.md.

    Attributes:
        seed: of everything drawn.
        mnist: whether MNIST at 8x8 is among the data (needs LRPILOT_DATA).
        width: units of the actor's and of the critic's recurrent layer.
        shortest, longest: lengths of the runs, in steps.
        blur: factor on the random shifts of the features that depend on size (`rollouts.BLURRED`). More makes a
            policy that relies less on their level, which larger networks shift.
        deviates, horizon: of the rollouts (`rollouts.roll_out`); other values are for ablations.
        anytime: share of the tasks whose length is hidden.
        distil_groups: groups of stage 1; distil_tasks: tasks in each; distil_driven: runs of the policy on
            each task, beside the schedules'.
        distil_updates: updates after each group, of four times ``distil_runs`` runs from the last
            ``distil_memory`` groups.
        distil_rate: Adam's learning rate at the start of stage 1.
        bank_rounds: of stage 2: the teacher's runs first, then the policy's own.
        bank_noise: standard deviation of the noise on the raw action of every other run.
        bank_updates: of each round; bank_runs: runs in each update; bank_rate: Adam's learning rate at its start.
        bank_blur: standard deviation of the noise on each feature of a run, in units of the feature's own. More makes
            a policy that relies less on what this bank's tasks happen to look like.
        bank_population: how many of stage 1's last groups are gone on learning from; bank_mix: their weight.
        ppo_iterations: of stage 3; ppo_groups, ppo_tasks, ppo_replicas: groups in each, tasks in each group, runs of
            each task.
        ppo_epochs: passes over them; ppo_rate: Adam's learning rate at the start of stage 3.
        ppo_bank: updates from the bank's runs after each of PPO's. None, and the policy unlearns on larger networks
            what it gains on small ones.
        exploration: standard deviation of the noise on the raw action in stage 3.
        clip: how far the ratio of action probabilities may move from 1 in one iteration. More learns faster and less
            safely.
        gae: decay of the advantage estimate, in [0, 1]: 1 counts a run's whole future, less relies on the critic.
        dense: weight of the decrease of the log loss in the reward, beside the final score.
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
    distil_driven: int = 6
    distil_updates: int = 16
    distil_runs: int = 96
    distil_memory: int = 100
    distil_rate: float = 1.5e-3
    bank_rounds: int = 4
    bank_noise: float = 0.15
    bank_updates: int = 1200
    bank_runs: int = 64
    bank_rate: float = 1e-3
    bank_blur: float = 0.15
    bank_population: int = 30
    bank_mix: float = 0.5
    ppo_iterations: int = 50
    ppo_groups: int = 6
    ppo_tasks: int = 10
    ppo_replicas: int = 10
    ppo_epochs: int = 3
    ppo_rate: float = 3e-4
    ppo_bank: int = 2
    exploration: float = 0.08
    clip: float = 0.2
    gae: float = 0.97
    dense: float = 0.3
    evaluate_every: float = 480.0

"""Thousands of small trainings as one batched program: where the pilot's policy learns.

The data's way: `data` (8x8 pictures and synthetic teachers) -> `draw` (which networks, optimizers, lengths
and hidden parameters) -> `trainings` (the batched runs themselves, built of `networks`, `optimizers` and `averages`)
-> `rollouts` (the same runs from start to end, under `schedules` or a policy) -> `score`. `evaluation` is what policies
are judged on. `quadratic` holds the noisy quadratic, whose best long-horizon schedule can be computed; `plain` holds
the networks as ordinary modules. Everything has a leading run dimension and no run can disturb another.
"""

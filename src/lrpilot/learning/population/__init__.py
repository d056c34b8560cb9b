"""Thousands of small trainings as one batched program: where the pilot's policy learns.

The data's way: `data` (8x8 pictures and synthetic teachers) -> `draw` (which networks, optimizers, lengths
and hidden parameters) -> `trainings` (the batched runs themselves, built of `networks` and `optimizers`)
-> `flights` (the same runs from start to end under scripted schedules or a policy). `quadratic` holds the
noisy quadratic, whose best long-horizon schedule can be computed; `bench` measures what the batching is
worth. Everything has a leading run dimension and no run can disturb another.
"""

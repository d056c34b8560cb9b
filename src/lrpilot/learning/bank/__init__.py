"""A bank of real trainings: networks as people write them, each with the scores of a grid of schedules.

    tasks.py      draws a task.py: one of kinds.py, optimizer, length  data.py      glyphs, text, tables, teachers
    networks.py   the networks, as plain torch modules                training.py  one training from start to end
    schedules.py  the schedules tried, and the search over them       store.py     their scores on disk, resumable

The scores depend on no policy: they are computed once (`lrpilot pretrain bank`), and every policy learns from them.
"""

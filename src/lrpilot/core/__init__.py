"""What both controllers stand on.

knobs.py      hyperparameters of the optimizer's groups, read and written
history.py    numbers by step, on their device until they are asked for
schedule.py   recorded rates as a plain scheduler
arguments.py  numbers that somebody hands over, checked
picture.py    a figure that shows itself in a notebook
snapshot.py   a copy of a network and its optimizer's state, and back
state.py      what a ``state_dict`` holds, and how one is taken up
files.py      files replaced whole, and checked when read
folders.py    folders of which one process has the use
signals.py    Ctrl-C and its like, answered in good order
randomness.py a generator of one's own
notices.py    told once
"""

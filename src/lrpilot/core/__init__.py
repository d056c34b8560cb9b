"""What both controllers stand on.

knobs.py      one hyperparameter of the optimizer's groups, read and written
history.py    numbers by step, on their device until they are asked for
snapshot.py   a copy of a network and its optimizer's state, and back
"""

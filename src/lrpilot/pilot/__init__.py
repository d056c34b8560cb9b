"""The pilot: a policy learned beforehand drives the learning rate.

loss, gradients, updates -> features -> policy -> a step in log rate -> optimizer

loss_buffer.py  the losses between two decisions
measurement.py  the user's steps -> what is measured    features.py   -> what the policy sees
policy.py       features -> a step in log rate          timetable.py  when
guard.py        takes a destroyed network back          logbook.py    what was seen and done
controller.py   all of it, in the shape of a scheduler
"""

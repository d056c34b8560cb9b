"""The pilot: a policy learned beforehand drives the learning rate.

loss, gradients, updates -> features -> policy -> a step in log rate -> optimizer

steps.py        hears of the optimizer's steps          calls.py      which calls of the user count, and what is amiss
loss_buffer.py  the losses between two decisions        measurement.py  what gradients and updates tell
vectors.py      parameters as flat vectors of numbers
features.py     what the policy sees                    policy.py     features -> a step in log rate
timetable.py    when it decides                         rates.py      the rate as written, and as used
guard.py        takes a destroyed network back          buffers.py    BatchNorm's statistics and their like
copies.py       a network as it was                     memory.py     what is remembered between decisions
logbook.py      what was seen and done                  deciding.py   all that happens at a decision
optimizers.py   one, several or wrapped                 ranks.py      several processes
controller.py   what lives in the user's loop           shape.py      what trainers look for in a scheduler
arithmetic.py   floats of one run, tensors of many      living.py, loaders.py, defaults.py  the surroundings
"""

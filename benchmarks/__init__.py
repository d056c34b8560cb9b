"""What lrpilot costs and what its parts are worth, measured on this machine: ``python -m benchmarks.NAME``.

overhead.py    what a controller costs: steps.py, one step of each kind, and runs.py, whole runs under the pilot,
               on the networks and made-up data of workloads.py, as the rows of costs.py
readings.py    which literal reading of the paper is sound most widely: a map of all that it leaves open
rollouts.py    what batching thousands of small trainings is worth
suggest.py     the rates that lrpilot suggest names, beside the range tests of Lightning and fastai
environments.py   steps a second of the learning rate environments
policy.py      what the pilot's policy owes to its parts, and the noisy quadratic against its optimum
bank.py        a policy on the bank's tasks that none learns from
suite.py       the pilot and its opponents on tasks that nothing was chosen on, with metrics over all of them
faults.py      what is lost when processes are killed, disks fill, and two share a folder

From a checkout, ``lrpilot bench NAME`` is the same.
"""

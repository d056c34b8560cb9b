"""How the pilot's policy is learned.

population/     thousands of small trainings as one batched program    distill.py     from swept schedules
bank/           real trainings, with the scores of many schedules      ppo.py         as an actor and a critic
pretrain.py     one after the other, to a policy file                  refinement.py  over a user's own runs
combining.py    one policy out of several
"""

"""The paper's algorithm, one file for each arrow of the data's way.

batch -> loss -> observation s_t -> actor -> action a_t -> optimizer.step -> reward r_t -> critic -> actor

observation.py  losses -> s_t             reward.py       f_t, f_{t+1} -> r_t
actor.py        s_t, memory -> raw        critic.py       s_t, a_t -> Q
action.py       raw -> a_t                losses.py       equations 5 to 10 as pure functions
exploration.py  a_t -> the executed rate  replay.py       remembered transitions
evaluation.py   f_{t+1} without a trace in the network
chunk.py        the steps that the actor is unrolled through
displacement.py how a step moved the parameters, and what that is worth to a batch
controls.py     of which numbers an action consists: knobs and places
joint.py        the actions of several knobs in several places as one
sensitivity.py  how a step depends on each number of an action
opening.py      a sweep of rates before the actor takes over
repeat.py       an action that holds for several steps: f, f, ... -> mean f
actor_critic.py the actor's decisions, both updates
arrays.py       numbers on the host
settings.py     which parts: paper, stable
controller.py   Algorithm 1                watch.py        mistakes in the loop, each told once
offline.py      the appendix: equation 10
public.py       the names that users import
"""

"""Comparison methods: what lrpilot is measured against.

``tensorflow``  Adam, Adagrad and RMSprop as TensorFlow computed them in 2016
``vsgd``        vSGD-l, vSGD-b and vSGD-g (Schaul, Zhang, LeCun, 2013), on the curvature of ``curvature``
``schedules``   the hand-made schedules: eta_0 / (1 + gamma t) and cosine
``peers``       today's learning-rate-free optimizers, from their own packages
"""

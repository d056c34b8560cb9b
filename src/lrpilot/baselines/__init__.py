"""Comparison methods: what lrpilot is measured against.

``tensorflow``  Adam, Adagrad and RMSprop as TensorFlow computed them in 2016
``vsgd``        vSGD-l, vSGD-b and vSGD-g (Schaul, Zhang, LeCun, 2013), on the curvature of ``curvature``
``schedules``   the hand-made schedules: eta_0 / (1 + gamma t), cosine, warmed-up ones, one-cycle
``range_test``  the learning-rate range test that people run before one-cycle
``peers``       today's learning-rate-free optimizers, from their own packages
``opponents``   further ones, which need the network: averages, polls; ``nadamw`` is written here
"""

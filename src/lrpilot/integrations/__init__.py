"""The pilot in trainers that have their own loop: one module for each that needs one, imported by nobody but the user.

lightning.py     a callback for Lightning's Trainer
transformers.py  Hugging Face's Trainer with the pilot for its scheduler
skorch.py        a callback for skorch's nets
keras.py         a callback for Keras 3 on torch

Accelerate, timm and Ray Train need none: there `lrpilot.Pilot` stands in the user's loop. The lines for each are in
docs/trainers.md.

gymnasium.py          the other way round: learning rates as an environment, single and batched
stable_baselines3.py  the batched one in Stable-Baselines3
"""

"""Batched trainings in Stable-Baselines3: ``PPO("MlpPolicy", BatchedEnvs(LearningRateVectorEnv(64)))``."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from stable_baselines3.common.vec_env import VecEnv

Numbers = np.ndarray[Any, Any]


class BatchedEnvs(VecEnv):
    """Gymnasium's vector environment as Stable-Baselines3 takes it: an episode's last step begins the next one.

    Args:
        envs: whose episodes all end at once, as a `lrpilot.integrations.gymnasium.LearningRateVectorEnv`'s do.
    """

    def __init__(self, envs: VectorEnv[Numbers, Numbers, Numbers]) -> None:
        self._envs = envs
        self._actions = np.zeros(envs.action_space.shape or (), np.float32)
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> Numbers:
        """Begin new episodes; the seed is the last one given to ``seed``, which serves once."""
        observations, _ = self._envs.reset(seed=self._seeds[0])
        self._reset_seeds()
        return observations

    def step_async(self, actions: Numbers) -> None:
        """Keep the actions."""
        self._actions = actions

    def step_wait(self) -> tuple[Numbers, Numbers, Numbers, list[dict[str, Any]]]:
        """Take them."""
        observations, rewards, over, _, _ = self._envs.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if over.all():
            infos = [{"terminal_observation": last} for last in observations]
            observations, _ = self._envs.reset()
        return observations, rewards, over, infos

    def close(self) -> None:
        """Close them."""
        self._envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The same of each, since they are one program."""
        return [getattr(self._envs, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set it for all."""
        setattr(self._envs, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call it once."""
        return [getattr(self._envs, method_name)(*args, **kwargs)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """None is."""
        return [False] * self.num_envs

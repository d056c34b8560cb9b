"""Stable-Baselines3's PPO learns to set learning rates: `python examples/with_gymnasium.py 100000`."""

import sys

from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor

from lrpilot.integrations.gymnasium import LearningRateVectorEnv
from lrpilot.integrations.stable_baselines3 import BatchedEnvs

envs = VecMonitor(BatchedEnvs(LearningRateVectorEnv(32, shortest=30, longest=100)))
agent = PPO("MlpPolicy", envs, n_steps=32, batch_size=256, learning_rate=1e-3, gamma=1.0, seed=0, device="cpu")
agent.learn(int(sys.argv[1]) if len(sys.argv) > 1 else 1024)
reward, deviation = evaluate_policy(agent, envs, n_eval_episodes=32)
print(f"the log loss on held-out examples falls by {reward:.2f} +- {deviation:.2f}")

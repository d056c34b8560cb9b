"""NAdamW, and the one setting of it that AlgoPerf's self-tuning baseline uses for every task.

``torch.optim.NAdam`` is another algorithm: its momentum follows a schedule (Dozat, 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

ALGOPERF = {
    "lr": 0.0017486387539278373,
    "betas": (1 - 0.06733926164, 0.9955159689799007),
    "weight_decay": 0.08121616522670176,
}
"""Calibrated once over AlgoPerf's workloads (Dahl et al., 2023; its self-tuning baseline of full budget)."""
WARM_UP = 0.02
"""The share of the run over which that setting's rate rises linearly, before half a cosine down to 0."""


class NAdamW(Optimizer):
    """Adam with Nesterov momentum and decoupled weight decay (Table 1 of Choi et al., 2019).

    m_t = b1 m_{t-1} + (1 - b1) g_t,  v_t = b2 v_{t-1} + (1 - b2) g_t^2
    w_t = (1 - lr decay) w_{t-1} - lr [b1 m_t + (1 - b1) g_t] / (1 - b1^t) / (sqrt(v_t / (1 - b2^t)) + eps)
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update; returns the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for w in group["params"]:
                if w.grad is None:
                    continue
                state = self.state[w]
                if not state:
                    state.update(step=0, m=torch.zeros_like(w), v=torch.zeros_like(w))
                state["step"] += 1
                m = state["m"].lerp_(w.grad, 1 - beta1)
                v = state["v"].mul_(beta2).addcmul_(w.grad, w.grad, value=1 - beta2)
                ahead = m.lerp(w.grad, 1 - beta1) / (1 - beta1 ** state["step"])
                root = (v / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
                w.mul_(1 - group["lr"] * group["weight_decay"]).addcdiv_(ahead, root, value=-group["lr"])
        return loss

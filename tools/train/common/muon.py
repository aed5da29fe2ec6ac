"""Muon for networks of many small matrices."""

import torch

MOMENTUM, STEPS, LEAST = 0.95, 5, 1e-7
QUINTIC = (3.4445, -4.7750, 2.0315)  # of Jordan et al.: singular values come near 1 in few steps


class Muon(torch.optim.Optimizer):
    """As torch.optim.Muon (Jordan et al. 2024; scaled as in Liu et al. 2025, arXiv 2502.16982, so that AdamW's rates serve), but
    matrices of one shape are turned together: to tell a GPU of each takes longer than a small model's whole step. Kernels of
    convolutions [outputs, inputs, taps] are taken for matrices of outputs by all that they see."""

    def __init__(self, groups, lr, weight_decay=0.0):
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            alike = {}
            for value in group["params"]:
                if value.grad is not None:
                    alike.setdefault(value.shape, []).append(value)
            for values in alike.values():
                self._change(values, group["lr"], group["weight_decay"])

    def _change(self, values, rate, decay):
        gradients = [value.grad for value in values]
        momenta = [self._momentum(value) for value in values]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        # Nesterov's.
        wished = torch.stack(torch._foreach_lerp(gradients, momenta, MOMENTUM)).flatten(2)
        turned = orthogonal(wished).view(-1, *values[0].shape).to(values[0].dtype)
        torch._foreach_mul_(values, 1 - rate * decay)
        torch._foreach_add_(values, turned.unbind(), alpha=-rate * 0.2 * max(wished.shape[1:]) ** 0.5)

    def _momentum(self, value):
        state = self.state[value]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(value)
        return state["momentum_buffer"]


def orthogonal(matrices):
    """Near the nearest orthogonal ones of matrices [count, rows, columns], in half precision (Newton and Schulz)."""
    a, b, c = QUINTIC
    is_high = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if is_high else matrices).bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(LEAST)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT.contiguous() if is_high else x

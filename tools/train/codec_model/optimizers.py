"""What changes the networks' weights."""

import torch


class Kernels(torch.optim.Muon):
    """Muon (Jordan et al. 2024; scaled as in arXiv 2502.16982, so that AdamW's rates serve) for kernels of convolutions
    [outputs, inputs, taps], each taken for a matrix of outputs by all that they see; of transposed ones the other way round."""

    def __init__(self, groups, rate):
        self.kernels = [kernel for group in groups for kernel in group["params"]]
        # Of the same memory: what changes a matrix changes its kernel.
        seen = [{**group, "params": [torch.nn.Parameter(kernel.detach().view(len(kernel), -1)) for kernel in group["params"]]}
                for group in groups]  # fmt: skip
        self.matrices = [matrix for group in seen for matrix in group["params"]]
        super().__init__(seen, lr=rate, weight_decay=0, adjust_lr_fn="match_rms_adamw")

    def step(self):
        for kernel, matrix in zip(self.kernels, self.matrices):
            matrix.grad = None if kernel.grad is None else kernel.grad.flatten(1)
        super().step()

    def zero_grad(self, set_to_none=True):
        for kernel in self.kernels:
            kernel.grad = None


def is_matrix(value):
    """Whether it is a kernel that mixes columns, of many to many. Others are the first, the last and those of each column alone."""
    return value.dim() == 3 and value.shape[1] > 1 and min(len(value), value[0].numel()) >= 16


def adamw(groups, rate, device):
    return torch.optim.AdamW(groups, lr=rate, betas=(0.8, 0.99), weight_decay=0, fused=device.type == "cuda")


def optimizers(parts, rate, device):
    """Muon for what are matrices, AdamW for the rest. parts: parameters by name, which their groups have as `part`."""
    chosen = {is_chosen: [{"params": [value for value in part if is_matrix(value) == is_chosen], "part": name}
                          for name, part in parts.items()] for is_chosen in (True, False)}  # fmt: skip
    return [Kernels(chosen[True], rate), adamw(chosen[False], rate, device)]

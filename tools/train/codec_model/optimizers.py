"""What changes the networks' weights."""

import torch
from common.muon import Muon


def is_matrix(value):
    """Whether it is a kernel that mixes columns, of many to many. Others are the first, the last and those of each column alone."""
    return value.dim() == 3 and value.shape[1] > 1 and min(len(value), value[0].numel()) >= 16


def adamw(groups, rate, device):
    return torch.optim.AdamW(groups, lr=rate, betas=(0.8, 0.99), weight_decay=0, fused=device.type == "cuda")


def optimizers(parts, rate, device):
    """Muon for what are matrices, AdamW for the rest. parts: parameters by name, which their groups have as `part`."""
    chosen = {is_chosen: [{"params": [value for value in part if is_matrix(value) == is_chosen], "part": name}
                          for name, part in parts.items()] for is_chosen in (True, False)}  # fmt: skip
    return [Muon(chosen[True], rate), adamw(chosen[False], rate, device)]

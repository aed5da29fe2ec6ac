"""Networks that learn on several threads at once."""

import copy


def shadow(module):
    """For one more thread: a module of the same parameters and buffers, which has gradients of its own."""
    found = copy.deepcopy(module)
    for value, shared in zip(found.parameters(), module.parameters()):
        value.data, value.grad = shared.data, None
    for own, shared in zip(found.modules(), module.modules()):
        own._buffers.update(shared._buffers)
    return found


def gather(parameters, others):
    """Adds to the gradients of parameters those of their shadows, which have none afterwards."""
    for value, *shadows in zip(parameters, *others):
        for each in shadows:
            if each.grad is not None:
                value.grad = each.grad if value.grad is None else value.grad.add_(each.grad)
                each.grad = None

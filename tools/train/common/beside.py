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

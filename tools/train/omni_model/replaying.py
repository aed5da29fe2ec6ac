"""Steps that a GPU is told once and then repeats by itself (CUDA graphs): a small model's step has thousands of parts, and to tell
them takes several times as long as to compute them."""

from functools import partial

import torch


class Replayed:
    """What `learned` does, a function of (part, (module, loss_of), generator) that leaves gradients and returns tensors by name,
    which it gives back alike. Of each shape of step (stages.shape_of) the first is done as it is, the second recorded, others replayed.

    A step must not wait for the device, nor depend on anything on the processor but its shape; loss_of takes the shape, too.
    """

    def __init__(self, learned):
        self.learned, self.known, self.pool = learned, {}, torch.cuda.graph_pool_handle()

    def __call__(self, part, member, generator):
        module, loss_of = member
        shape = loss_of.shape_of(generator.initial_seed())
        again = partial(self.learned, part, (module, partial(loss_of, shape=shape)), generator)
        if shape not in self.known:
            self.known[shape] = None
            return again()
        trained = [value for value in module.parameters() if value.requires_grad]
        if self.known[shape] is None:
            self.known[shape] = self._recorded(again, trained, generator)
        graph, gradients, found = self.known[shape]
        graph.replay()
        # Those of this recording: each has its own.
        for value, gradient in zip(trained, gradients):
            value.grad = gradient
        return found

    def _recorded(self, again, trained, generator):
        graph = torch.cuda.CUDAGraph()
        # What is drawn depends on the generator's seed in each replay.
        graph.register_generator_state(generator)
        with torch.cuda.graph(graph, pool=self.pool):
            found = again()
        return graph, [value.grad for value in trained], found

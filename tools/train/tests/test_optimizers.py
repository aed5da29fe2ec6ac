"""What changes the networks' weights."""

import unittest

import torch
from codec_model import optimizers
from common.muon import Muon


class Optimizers(unittest.TestCase):
    def test_kernels_learn_as_matrices_do(self):
        torch.manual_seed(1)
        mixing, apart = torch.nn.Conv1d(16, 24, 3, bias=False), torch.nn.Conv1d(16, 16, 7, groups=16)
        matrix = torch.nn.Parameter(mixing.weight.detach().flatten(1).clone())
        kernels, rest = optimizers.optimizers({"all": [*mixing.parameters(), *apart.parameters()]}, 0.01, torch.device("cpu"))
        self.assertEqual({id(value) for value in kernels.param_groups[0]["params"]}, {id(mixing.weight)})
        self.assertEqual({id(value) for value in rest.param_groups[0]["params"]}, {id(value) for value in apart.parameters()})
        muon = Muon([matrix], 0.01)
        for _ in range(3):
            mixing.weight.grad = torch.randn_like(mixing.weight)
            matrix.grad = mixing.weight.grad.flatten(1)
            kernels.step()
            muon.step()
        self.assertTrue(torch.equal(mixing.weight.flatten(1), matrix))
        kernels.zero_grad()
        self.assertIsNone(mixing.weight.grad)

    def test_matrices_that_are_turned_together_learn_as_each_alone(self):
        torch.manual_seed(1)
        shapes = [(24, 16), (16, 24), (24, 16), (16, 24), (24, 16)]
        ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
        others = [torch.nn.Parameter(value.detach().clone()) for value in ours]
        begun = [value.detach().clone() for value in ours]
        muon = Muon([{"params": ours}], 0.01, 0.05)
        other = torch.optim.Muon(others, lr=0.01, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
        for step in range(3):
            for one, same in zip(ours, others):
                # One has none at first.
                one.grad = same.grad = None if step == 0 and one is ours[2] else torch.randn_like(one)
            muon.step()
            other.step()
        for one, same, before in zip(ours, others, begun):
            # Both turn in half precision, each in its own order.
            torch.testing.assert_close(one - before, same - before, rtol=0.03, atol=1e-3)


if __name__ == "__main__":
    unittest.main()

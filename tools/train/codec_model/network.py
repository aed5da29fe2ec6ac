"""SNAC's network (arXiv 2410.14411), depthwise and without attention, by the names of the release's state dict.

Its weights carry no weight norm while they are trained; export.py writes them as if they did.
"""

import math

import torch
from torch import nn
from torch.nn import functional

DILATIONS = (1, 3, 9)


def _snake(x, alpha):
    """x + sin²(αx) / α, in single precision whatever x has."""
    wide = x.float()
    sine = torch.sin(alpha * wide)
    return (wide + sine * sine / (alpha + 1e-9)).to(x.dtype)


def _snake_gradients(x, alpha, gradient):
    """Of x, and of alpha for each of the batch apart: sums over rows alone are spread well over a GPU."""
    wide, gradient, inverse = x.float(), gradient.float(), 1 / (alpha + 1e-9)
    sine, cosine = torch.sin(alpha * wide), torch.cos(alpha * wide)
    double = 2 * sine * cosine
    of_alpha = gradient * inverse * (double * wide - sine * sine * inverse)
    return (gradient * (1 + double * alpha * inverse)).to(x.dtype), of_alpha.sum(2)


def _unit(x, alpha, taps, bias, other_alpha, weight, other_bias, dilation):
    """A residual unit of a snake, a depthwise convolution, a snake and a pointwise convolution."""
    wide, count = 3 * dilation, x.shape[2]
    padded = functional.pad(_snake(x, alpha), (wide, wide))
    summed = bias[:, None]
    for tap in range(7):
        first = tap * dilation
        summed = summed + padded[:, :, first : first + count] * taps[:, :, tap]
    return x + weight[:, :, 0] @ _snake(summed, other_alpha) + other_bias[:, None]


class Kernels:
    """What most of the time goes into besides convolutions; fused where there is a compiler: snakes, and on a processor
    whole residual units, whose depthwise convolutions PyTorch computes slowly there."""

    snake, snake_gradients = staticmethod(_snake), staticmethod(_snake_gradients)
    unit = None

    @classmethod
    def fuse(cls, device):
        """Tries the compiled ones and keeps them if they work. Returns whether they do."""
        try:
            cls._fuse_snakes(device)
            if device.type == "cpu":
                cls._fuse_units()
        # Compilers fail in many ways, and nothing here depends on one.
        except Exception as error:
            print(f"not compiled: {type(error).__name__}: {str(error).splitlines()[0][:160]}", flush=True)
            return False
        return True

    @classmethod
    def _fuse_snakes(cls, device):
        fused = [torch.compile(each, dynamic=True) for each in (_snake, _snake_gradients)]
        for kind in [torch.float32] + [torch.bfloat16] * (device.type == "cuda"):
            x = torch.linspace(-3, 3, 2 * 6 * 40, device=device).reshape(2, 6, 40).to(kind)
            alpha = torch.linspace(0.5, 2, 6, device=device).reshape(1, 6, 1)
            near = {"rtol": 2e-2, "atol": 2e-2} if kind == torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-4}
            torch.testing.assert_close(fused[0](x, alpha), _snake(x, alpha), **near)
            for ours, theirs in zip(fused[1](x, alpha, x), _snake_gradients(x, alpha, x)):
                torch.testing.assert_close(ours, theirs, **near)
        cls.snake, cls.snake_gradients = staticmethod(fused[0]), staticmethod(fused[1])

    @staticmethod
    def prepare_thread():
        """Each width and dilation is compiled for itself, as they are few and crops all of one length; every thread has to
        be told."""
        torch._dynamo.config.recompile_limit = 64

    @classmethod
    def _fuse_units(cls):
        cls.prepare_thread()
        fused = torch.compile(_unit, dynamic=False)
        plain, x = ResidualUnit(16, 3), torch.linspace(-3, 3, 16 * 64).reshape(1, 16, 64)
        gradients = []
        for made in (fused(x, *plain.block.parameters(), 3), x + plain.block(x)):
            gradients.append(torch.autograd.grad(made.square().sum(), [*plain.block.parameters()]))
        for ours, theirs in zip(*gradients):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
        cls.unit = staticmethod(fused)


class _SnakeFunction(torch.autograd.Function):
    """Keeps nothing but its input for the way back."""

    @staticmethod
    def forward(context, x, alpha):
        context.save_for_backward(x, alpha)
        # Plain tensors: a compiler would take the shapes of parameters for constants.
        return Kernels.snake(x.detach(), alpha.detach())

    @staticmethod
    def backward(context, gradient):
        x, alpha = context.saved_tensors
        gradient = gradient.detach().contiguous()
        of_x, of_alpha = Kernels.snake_gradients(x.detach(), alpha.detach(), gradient)
        return of_x, of_alpha.sum(0)[None, :, None]


class Snake(nn.Module):
    """[batch, columns, rows], as are all of them."""

    def __init__(self, columns):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, columns, 1))

    def forward(self, x):
        return _SnakeFunction.apply(x.contiguous(), self.alpha)


def convolution(inputs, outputs, taps, scale=1.0, **options):
    """A convolution whose output is about `scale` times as large as its input."""
    layer = nn.Conv1d(inputs, outputs, taps, **options)
    nn.init.normal_(layer.weight, std=scale / math.sqrt(taps * inputs / layer.groups))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResidualUnit(nn.Module):
    def __init__(self, columns, dilation):
        super().__init__()
        self.dilation = dilation
        depthwise = convolution(columns, columns, 7, dilation=dilation, padding=3 * dilation, groups=columns)
        # Close to the identity at first.
        self.block = nn.Sequential(Snake(columns), depthwise, Snake(columns), convolution(columns, columns, 1, 0.3))

    def forward(self, x):
        # What is not learned from comes in any length, and each would be compiled.
        if Kernels.unit and torch.is_grad_enabled():
            return Kernels.unit(x, *self.block.parameters(), self.dilation)
        return x + self.block(x)


class EncoderBlock(nn.Module):
    def __init__(self, columns, rate):
        super().__init__()
        strided = convolution(columns, 2 * columns, 2 * rate, stride=rate, padding=math.ceil(rate / 2))
        self.block = nn.Sequential(*(ResidualUnit(columns, n) for n in DILATIONS), Snake(columns), strided)

    def forward(self, x):
        return self.block(x)


class Encoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        columns = shape.encoder_dim
        # Speech is quiet, and a snake bends only what is about 1.
        layers = [convolution(1, columns, 7, 10.0, padding=3)]
        for rate in shape.encoder_rates:
            layers.append(EncoderBlock(columns, rate))
            columns *= 2
        layers.append(convolution(columns, columns, 7, padding=3, groups=columns))
        self.block = nn.Sequential(*layers)

    def forward(self, x):
        return self.block(x)


class Noise(nn.Module):
    """x + noise · Wx: one number a row, drawn anew each time: by `generator`, or by PyTorch's own."""

    def __init__(self, columns):
        super().__init__()
        self.linear = convolution(columns, columns, 1, 0.1, bias=False)
        self.level, self.generator = 1.0, None

    def forward(self, x):
        if self.level == 0:
            return x
        drawn = torch.randn(x.shape[0], 1, x.shape[2], generator=self.generator, device=x.device, dtype=x.dtype)
        return x + self.level * drawn * self.linear(x)


class DecoderBlock(nn.Module):
    def __init__(self, columns, rate, noise):
        super().__init__()
        half = columns // 2
        upward = nn.ConvTranspose1d(
            columns, half, 2 * rate, stride=rate, padding=math.ceil(rate / 2), output_padding=rate % 2
        )
        # Two rows of the input meet in each of the output's.
        nn.init.normal_(upward.weight, std=1 / math.sqrt(2 * columns))
        nn.init.zeros_(upward.bias)
        layers = [Snake(columns), upward] + [Noise(half)] * noise
        self.block = nn.Sequential(*layers, *(ResidualUnit(half, n) for n in DILATIONS))

    def forward(self, x):
        return self.block(x)


class Decoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        latent, columns = shape.latent, shape.decoder_dim
        layers = [convolution(latent, latent, 7, padding=3, groups=latent), convolution(latent, columns, 1)]
        for rate in shape.decoder_rates:
            layers.append(DecoderBlock(columns, rate, shape.noise))
            columns //= 2
        layers += [Snake(columns), convolution(columns, 1, 7, 0.1, padding=3), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        x = self.model[:-3](x)
        # The last sum decides how much hiss there is: never in half precision.
        with torch.autocast(x.device.type, enabled=False):
            return self.model[-3:](x.float())


class Codebook(nn.Module):
    """Directions of length 1 that follow what falls to them, as in k-means, rather than a gradient."""

    def __init__(self, size, width):
        super().__init__()
        self.register_buffer("weight", functional.normalize(torch.randn(size, width), dim=1))
        # How often each was chosen lately, and the sum of what chose it.
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", self.weight.clone())


class Quantizer(nn.Module):
    """One level: the mean of `stride` rows, projected to a few columns, as the nearest direction of its codebook."""

    def __init__(self, shape, stride):
        super().__init__()
        self.stride = stride
        self.in_proj = convolution(shape.latent, shape.codebook_dim, 1)
        # Silence has a direction, too.
        nn.init.normal_(self.in_proj.bias, std=0.1)
        self.out_proj = convolution(shape.codebook_dim, shape.latent, 1)
        self.codebook = Codebook(shape.codebook_size, shape.codebook_dim)

    def directions(self, x):
        """[batch, width, codes], each of length 1 unless it is close to none, where a gradient would have no bounds."""
        pooled = functional.avg_pool1d(x, self.stride, self.stride) if self.stride > 1 else x
        found = self.in_proj(pooled)
        return found * torch.rsqrt(found.square().sum(1, keepdim=True) + 1e-4)

    def nearest(self, directions):
        """[batch, codes]"""
        lengths = functional.normalize(self.codebook.weight, dim=1)
        return torch.einsum("bwt,cw->btc", directions, lengths).argmax(2)

    def entries(self, codes):
        return self.codebook.weight[codes].transpose(1, 2)

    def rows(self, entries):
        """Latent rows [batch, latent, stride · codes]."""
        return self.out_proj(entries).repeat_interleave(self.stride, dim=2)


class ResidualQuantizer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.quantizers = nn.ModuleList(Quantizer(shape, stride) for stride in shape.vq_strides)

    def forward(self, x, is_coded=True):
        """
        Returns latent rows; how far directions are from their entries; and for each level its directions and codes.

        is_coded: otherwise directions go through as they are. The gradient goes through in any case.
        """
        rest, total, distance, found = x, 0, 0, []
        for level in self.quantizers:
            directions = level.directions(rest)
            codes, entries = None, directions
            if is_coded:
                codes = level.nearest(directions.detach())
                nearest = level.entries(codes)
                distance = distance + (directions - nearest).square().sum(1).mean()
                entries = directions + (nearest - directions).detach()
            rows = level.rows(entries)
            rest, total = rest - rows, total + rows
            found.append((directions.detach(), codes))
        return total, distance, found

    def encode(self, x):
        """The levels' codes, each [batch, codes]."""
        codes = []
        for level in self.quantizers:
            codes.append(level.nearest(level.directions(x)))
            x = x - level.rows(level.entries(codes[-1]))
        return codes

    def decode(self, codes):
        return sum(level.rows(level.entries(each)) for level, each in zip(self.quantizers, codes))


class Codec(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape)
        self.quantizer = ResidualQuantizer(shape)
        self.decoder = Decoder(shape)

    def forward(self, samples, is_coded=True, keeps_codes=False):
        """[batch, samples], whole frames, to as many; the quantizer's rows, distance and codes. keeps_codes: without a
        gradient for what makes them."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not keeps_codes):
            latent = self.encoder(samples[:, None]).float()
            with torch.autocast(latent.device.type, enabled=False):
                rows, distance, found = self.quantizer(latent, is_coded)
        return self.decoder(rows)[:, 0], rows, distance, found

    @torch.no_grad()
    def encode(self, samples):
        """[batch, samples] to the levels' codes; the last frame is filled up with silence."""
        missing = -samples.shape[1] % self.shape.frame
        return self.quantizer.encode(self.encoder(functional.pad(samples, (0, missing))[:, None]).float())

    @torch.no_grad()
    def decode(self, codes, noise=1.0):
        """The levels' codes to samples. noise: its level, 0 for none; from PyTorch's generator."""
        blocks = [module for module in self.decoder.modules() if isinstance(module, Noise)]
        for block in blocks:
            block.level = noise
        samples = self.decoder(self.quantizer.decode(codes))[:, 0]
        for block in blocks:
            block.level = 1.0
        return samples

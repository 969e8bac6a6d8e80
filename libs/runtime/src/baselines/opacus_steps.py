"""Times one training step of PyTorch with and without Opacus, as a baseline for Lethe's engine.

    python libs/runtime/src/baselines/opacus_steps.py [--models mlp,...] [--modes plain,...] [--seconds 10]

Needs Python packages torch (any CPU-capable build) and opacus 1.5.4. Prints one JSON object.

What is timed: zero_grad, forward, backward, optimizer step on one fixed batch that lies in memory; no data loader, no
sampling, no accountant, which flatters the peer. Gaussian noise is PyTorch's default generator, not a cryptographic one.
Modes: `plain` is SGD without privacy, `ghost` is Opacus' ghost clipping (two backward passes), `hooks` is Opacus'
default (per-example gradients are instantiated). All of them use SGD without momentum, float32.
Modes of one model are interleaved in rounds, so that other load on the machine meets all of them. Both the wall time and
the processor time of a step are given: on a machine that others share, the second is the steadier one.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import time
import warnings

warnings.filterwarnings("ignore")

import opacus
import torch
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import nn
from torch.nn import functional

CLIP_NORM = 1.0
NOISE_MULTIPLIER = 1.0
VOCABULARY, TOKENS, WIDTH, HEADS, BLOCKS = 256, 64, 128, 4, 2


def mlp(*widths):
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def mnist_cnn():
    """The network of Opacus' own MNIST example, 26,010 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 8, 2, padding=3), nn.ReLU(), nn.MaxPool2d(2, 1),
        nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.MaxPool2d(2, 1),
        nn.Flatten(), nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip


class Block(nn.Module):
    """Pre-norm decoder block; three separate projections because Opacus has a rule for nn.Linear only."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        batch, tokens, _ = x.shape
        h = self.norm1(x)
        q, k, v = (
            layer(h).view(batch, tokens, HEADS, WIDTH // HEADS).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        a = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(batch, tokens, WIDTH))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """Learned positions, untied head. Position ids are repeated over the batch, as ghost clipping wants them."""

    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(TOKENS, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids):
        at = torch.arange(TOKENS).repeat(len(ids), 1)
        return self.head(self.norm(self.blocks(self.tokens(ids) + self.positions(at))))


def digits(*shape):
    return lambda batch: (torch.rand(batch, *shape), torch.randint(10, (batch,)))


def text(batch):
    ids = torch.randint(VOCABULARY, (batch, TOKENS + 1))
    return ids[:, :-1].contiguous(), ids[:, 1:].reshape(-1)


# name: (model, data, batch, threads)
MODELS = {
    "mlp-784-512-512-10": (lambda: mlp(784, 512, 512, 10), digits(784), 256, 1),
    "mlp-784-256-10": (lambda: mlp(784, 256, 10), digits(784), 256, 2),
    "mnist-cnn": (mnist_cnn, digits(1, 28, 28), 256, 1),
    "transformer-2x128": (Transformer, text, 64, 1),
}
MODES = ("plain", "ghost", "hooks")


def make_step(mode, build, data, batch):
    """A function that runs one step, and the number of parameters."""
    torch.manual_seed(1)
    model = build().train()
    count = sum(p.numel() for p in model.parameters())
    x, y = data(batch)
    criterion = nn.CrossEntropyLoss()
    sgd = torch.optim.SGD(model.parameters(), lr=0.01)
    private = dict(noise_multiplier=NOISE_MULTIPLIER, max_grad_norm=CLIP_NORM, expected_batch_size=batch)
    if mode == "plain":
        optimizer = sgd
    elif mode == "hooks":
        model = GradSampleModule(model)
        optimizer = DPOptimizer(sgd, **private)
    else:
        model = GradSampleModuleFastGradientClipping(model, max_grad_norm=CLIP_NORM)
        optimizer = DPOptimizerFastGradientClipping(sgd, **private)
        criterion = DPLossFastGradientClipping(model, optimizer, criterion)

    def step():
        optimizer.zero_grad()
        output = model(x)
        if mode == "ghost":  # one loss per sequence where the output is one
            criterion(output.reshape(-1, output.shape[-1]), y, shape=output.shape).backward()
        else:
            criterion(output.reshape(-1, output.shape[-1]), y).backward()
        optimizer.step()

    return step, count


def summary(samples):
    cuts = statistics.quantiles(samples, n=10, method="inclusive")
    figures = {"median": statistics.median(samples), "min": min(samples), "p10": cuts[0], "p90": cuts[-1]}
    return {name: round(value * 1e3, 3) for name, value in figures.items()}


def measure(name, modes, seconds):
    build, data, batch, threads = MODELS[name]
    torch.set_num_threads(threads)
    steps, walls, cpus, parameters = {}, {}, {}, 0
    for mode in modes:
        steps[mode], parameters = make_step(mode, build, data, batch)
        walls[mode], cpus[mode] = [], []
        for _ in range(3):
            steps[mode]()
    end = time.perf_counter() + seconds * len(modes)
    while time.perf_counter() < end or min(map(len, walls.values())) < 10:
        for mode, step in steps.items():
            # As much time for each mode in a round, at least one step.
            until = time.perf_counter() + 0.1
            while True:
                wall, cpu = time.perf_counter(), time.process_time()
                step()
                walls[mode].append(time.perf_counter() - wall)
                cpus[mode].append(time.process_time() - cpu)
                if time.perf_counter() >= until:
                    break
    rows = {m: {"steps": len(walls[m]), "wallMs": summary(walls[m]), "cpuMs": summary(cpus[m])} for m in modes}
    return {"model": name, "parameters": parameters, "batch": batch, "threads": threads, "modes": rows}


def processor():
    with open("/proc/cpuinfo") as lines:
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--seconds", type=float, default=10, help="about so long for each model and mode")
    options = parser.parse_args()
    torch.set_num_interop_threads(1)
    load = os.getloadavg()[0]
    rows = [measure(name, options.modes.split(","), options.seconds) for name in options.models.split(",")]
    report = {
        "torch": torch.__version__,
        "opacus": opacus.__version__,
        "python": platform.python_version(),
        "cpu": processor() if platform.system() == "Linux" else platform.processor(),
        "cores": os.cpu_count(),
        "loadBefore": round(load, 2),
        "loadAfter": round(os.getloadavg()[0], 2),
        "peakRssMb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rows": rows,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()

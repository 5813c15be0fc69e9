from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from export.train.__main__ import main
from export.train.run.quantization_aware import round_activations, rounded_weights
from quant.cli import run_command


def seen_by(net: nn.Module, reader: nn.Module, values: torch.Tensor) -> torch.Tensor:
    """What `reader` gets when the network looks at `values`."""
    seen: list[torch.Tensor] = []
    reader.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    net(values)
    return seen[0]


def two(depthwise: bool, between: type[nn.Module] = nn.Identity) -> nn.Sequential:
    torch.manual_seed(0)
    reader = nn.Conv2d(4, 4, 3, groups=4 if depthwise else 1)
    return nn.Sequential(nn.Conv2d(3, 4, 1), between(), reader)


@pytest.mark.parametrize("between", [nn.ReLU, nn.Identity])
@pytest.mark.parametrize("depthwise", [False, True])
def test_what_a_convolution_reads_has_256_levels_and_zero_among_them(
    depthwise: bool, between: type[nn.Module]
) -> None:
    net = two(depthwise, between)
    with torch.no_grad():
        net[0].weight[0] *= 50  # a channel that leaves the others few levels, if they share a scale
    picture = torch.randn(2, 3, 64, 64)
    exact = net[1](net[0](picture)).detach()
    round_activations(net)
    rounded = seen_by(net, net[2], picture)
    each = depthwise and between is nn.ReLU
    groups = [(exact[:, c], rounded[:, c]) for c in range(4)] if each else [(exact, rounded)]
    for before, after in groups:
        step = (before.max() - before.min()) / 255
        assert 100 < len(after.unique()) <= 257
        assert (after - before).abs().max() <= step * 0.501
        levels = after / step
        assert torch.allclose(levels, levels.round(), atol=1e-3)
    assert (len(rounded[:, 1].unique()) > 100) == each


def test_an_elu_reads_rounded_values_and_the_first_convolution_reads_its_own() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ELU())
    round_activations(net)
    picture = torch.randn(1, 3, 64, 64)
    assert torch.equal(seen_by(net, net[0], picture), picture)
    assert len(seen_by(net, net[1], picture).unique()) <= 257


def test_measuring_is_exact() -> None:
    net = two(False).eval()
    picture = torch.randn(1, 3, 16, 16)
    exact = net(picture)
    round_activations(net)
    assert torch.equal(net(picture), exact)


def test_a_channel_of_nothing_stays_nothing() -> None:
    net = two(True)
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.zero_()
        net[2].weight.zero_()
    round_activations(net)
    with rounded_weights(net):
        assert torch.equal(net(torch.randn(1, 3, 8, 8)), net[2].bias[None, :, None, None].expand(1, 4, 6, 6))


def test_gradients_pass_and_weights_are_restored() -> None:
    net = two(False)
    before = [p.detach().clone() for p in net.parameters()]
    round_activations(net)
    picture = torch.randn(1, 3, 16, 16)
    with rounded_weights(net):
        kernel = net[2].weight.detach()
        steps = kernel.abs().amax((1, 2, 3), keepdim=True) / 127
        assert torch.allclose(kernel / steps, (kernel / steps).round(), atol=1e-3)
        assert not torch.equal(kernel, before[2])
        net(picture).square().sum().backward()
    assert all(torch.equal(p, b) for p, b in zip(net.parameters(), before, strict=True))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    exact = two(False)
    exact(picture).square().sum().backward()
    for rounded, plain in zip(net.parameters(), exact.parameters(), strict=True):
        assert rounded.grad is not None and plain.grad is not None
        assert (rounded.grad - plain.grad).norm() < 0.1 * plain.grad.norm()


@pytest.mark.parametrize("groups", [1, 4])
def test_kernels_of_transposed_convolutions_have_a_scale_per_output(groups: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.ConvTranspose2d(8, 4, 4, groups=groups))
    sizes = torch.tensor([1.0, 10.0, 100.0, 1000.0])
    with torch.no_grad():
        if groups == 1:
            net[0].weight *= sizes[None, :, None, None]
        else:
            net[0].weight *= sizes.repeat_interleave(2)[:, None, None, None]
    before = net[0].weight.detach().clone()
    with rounded_weights(net):
        error = (net[0].weight.detach() - before).abs()
    weights = before.transpose(0, 1) if groups == 1 else before.reshape(4, -1)
    errors = error.transpose(0, 1) if groups == 1 else error.reshape(4, -1)
    for kernel, wrong in zip(weights, errors, strict=True):
        assert 0 < wrong.max() <= kernel.abs().max() / 127 * 0.501


def test_weights_are_restored_when_a_step_fails() -> None:
    net = two(False)
    before = net[0].weight.detach().clone()
    with pytest.raises(KeyboardInterrupt), rounded_weights(net):
        raise KeyboardInterrupt
    assert torch.equal(net[0].weight, before)


@pytest.mark.usefixtures("tiny")
def test_a_run_with_rounding_ends_elsewhere_and_an_interrupted_one_at_the_same_bytes(labelled: Path) -> None:
    torch.set_num_threads(1)

    def train(output: str, *more: str) -> Path:
        argv = [str(labelled / "recipe.toml"), "--output", str(labelled / output), *more]
        argv += ["--path", f"pictures={labelled}", "--loaders", "0", "--device", "cpu"]
        assert run_command(main, argv) == 0
        return labelled / output / "weights.safetensors"

    plain = load_file(train("plain"))
    recipe = labelled / "recipe.toml"
    recipe.write_text("quantization_aware = true\n" + recipe.read_text())
    whole = train("whole")
    rounded = load_file(whole)
    assert rounded.keys() == plain.keys()
    assert any((rounded[k] != plain[k]).any() for k in plain)
    for _ in range(20):
        if train("pieces", "--minutes", "1e-9").exists():
            break
    assert (labelled / "pieces/weights.safetensors").read_bytes() == whole.read_bytes()

"""Each family's samples, loss and measurement, and runs in stages, with toy networks."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from export.computed import computed_model
from export.train.__main__ import main
from export.train.data.data import SampleSpec
from export.train.data.pictures import PictureStore
from export.train.family_recipes import CropRecipe, PafDistillation, PafRecipe, TrainRecipe
from export.train.recipe_files import read_recipe
from export.train.run.measure import Measure
from export.train.start.settings import PruneStart, Start
from export.train.tasks.families import task_of
from export.train.tasks.paf_task import MapsTeacher, PafTask
from export.train.tasks.task import AnyTask
from export.weights.bundled import weights_path
from export.weights.module import load_state
from export.zoo.lw_openpose.module import LwOpenPose
from export.zoo.registry import MODELS, TRAINABLE
from quant.cli import run_command
from rpi_runtime.capture.pictures import write_picture
from rpi_runtime.errors import InputError, UsageError, WeightsError

pytestmark = [pytest.mark.usefixtures("tiny")]
FAMILIES = ("tiny", "tiny-tags", "tiny-crops")


def edited(folder: Path, *changes: tuple[str, str], more: str = "") -> Path:
    path = folder / "recipe.toml"
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text + more)
    return path


def read(folder: Path, network: str = "tiny") -> TrainRecipe:
    text = (folder / "recipe.toml").read_text().replace('network = "tiny"', f'network = "{network}"')
    (folder / f"{network}.toml").write_text(text)
    return read_recipe(str(folder / f"{network}.toml"), {"pictures": str(folder)})


def read_pafs(folder: Path) -> PafRecipe:
    recipe = read(folder)
    assert isinstance(recipe, PafRecipe)
    return recipe


def train(folder: Path, output: str, *more: str) -> int:
    argv = [str(folder / "recipe.toml"), "--output", str(folder / output), "--path", f"pictures={folder}"]
    return run_command(main, [*argv, "--loaders", "0", "--device", "cpu", *more])


def measured(folder: Path) -> list[tuple[str, str]]:
    with (folder / "ap.csv").open() as file:
        return [(r["stage"], r["step"]) for r in csv.DictReader(file)]


def one_loss(task: AnyTask) -> torch.Tensor:
    samples = task.read_samples()
    batch = [torch.stack(parts) for parts in zip(*(samples[n] for n in range(2)), strict=True)]
    net = task.trained(task.build().train())
    return task.loss(net(task.inputs(batch[0])), batch[1:])


@pytest.mark.parametrize("network", FAMILIES)
def test_a_run_of_each_family_ends_with_weights_that_load(labelled: Path, network: str) -> None:
    edited(labelled, ('network = "tiny"', f'network = "{network}"'))
    assert train(labelled, "run") == 0
    weights = load_file(labelled / "run/weights.safetensors")
    load_state(TRAINABLE[network].bare(), {k: v.numpy() for k, v in weights.items()}, "run")
    assert measured(labelled / "run") == [("0", "8"), ("0", "8")]


@pytest.mark.parametrize("network", FAMILIES)
def test_the_loss_falls_on_one_batch(labelled: Path, network: str) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    task = task_of(read(labelled, network))
    samples = task.read_samples()
    pictures, *targets = (torch.stack(parts) for parts in zip(*(samples[n] for n in range(2)), strict=True))
    net = task.trained(task.build().train())
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = task.loss(net(task.inputs(pictures)), targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_samples_depend_on_their_number_alone(labelled: Path) -> None:
    for network in FAMILIES[1:]:
        samples = task_of(read(labelled, network)).read_samples()
        first = samples[3]
        _ = samples[9]
        assert all(torch.equal(a, b) for a, b in zip(first, samples[3], strict=True))
        assert not torch.equal(first[0], samples[9][0])


def test_colours_reach_the_network_in_its_order(labelled: Path) -> None:
    pixels = torch.tensor([10, 20, 30], dtype=torch.uint8).reshape(1, 3, 1, 1)  # blue, green, red
    rgb, bgr = (task_of(read(labelled, n)).inputs(pixels).flatten().tolist() for n in FAMILIES[1:])
    assert rgb == pytest.approx([(30 - 123.675) / 58.395, (20 - 116.28) / 57.12, (10 - 103.53) / 57.375])
    # as published: the statistics in the order red, green, blue all the same
    assert bgr == pytest.approx([(10 - 123.675) / 58.395, (20 - 116.28) / 57.12, (30 - 103.53) / 57.375])


def test_targets_lie_on_the_keypoints_of_the_input(labelled: Path) -> None:
    """A person of one bright dot: the heatmaps' maxima are where the dot is, in either family."""
    for network in FAMILIES[1:]:
        task = task_of(read(labelled, network))
        (example, *_) = task.read_samples().examples
        picture = np.zeros((240, 320, 3), np.uint8)
        picture[98:103, 148:153] = 255
        person = np.tile([150.0, 100.0, 2.0], (1, 17, 1))
        write_picture(picture, labelled / "dot/dot.png")
        dot = replace(
            example, store=PictureStore(labelled / "dot"), name="dot.png", size=(320, 240), people=person,
            boxes=np.array([[120.0, 60, 60, 80]]), ignored=(),
        )  # fmt: skip
        still = {"gain": 0.0, "offset": 0.0, "grey": 0.0, "noise": 0.0}
        if network == "tiny-tags":
            still["scale"] = (0.8, 1.2)
        task.recipe = replace(task.recipe, augmentation=replace(task.recipe.augmentation, **still))
        spec = SampleSpec(sizes=((192, 192),), batch=1)
        samples = task.samples([dot], spec, 100)
        for number in range(20):
            pixels, maps, *_ = samples[number]
            bright = pixels[0].float()
            ys, xs = (v.float() for v in torch.meshgrid(*(torch.arange(192),) * 2, indexing="ij"))
            middle = [float((bright * v).sum() / bright.sum()) for v in (xs, ys)]
            row, column = np.unravel_index(int(maps[0].float().argmax()), tuple(maps[0].shape))
            # rounded to cells: half a cell off at most, or a whole one where the whole part is taken
            assert np.abs(np.array([column, row]) * 4 - middle).max() <= 4.5


def test_maps_reach_the_decoder_under_their_names(labelled: Path) -> None:
    task = task_of(replace(read(labelled, "tiny-tags"), sizes=("64x96",)))
    net = task.build().eval()
    model = computed_model(lambda x: [m.numpy() for m in task.maps(net(torch.from_numpy(x)))], task.cards[0])
    model.input[:] = np.random.default_rng(0).random(model.input.shape, np.float32)
    with torch.inference_mode():
        model.invoke()
        coarse, fine = net(torch.from_numpy(model.input).permute(0, 3, 1, 2))
    assert model.output("heatmaps", 4).shape == (1, 24, 16, 17)
    assert np.array_equal(model.output("heatmaps", 4)[0, ..., 3], coarse[0, 3])
    assert np.array_equal(model.output("tags", 4)[0, ..., 3], coarse[0, 20])
    assert np.array_equal(model.output("heatmaps", 2)[0, ..., 3], fine[0, 3])


@pytest.mark.parametrize("name", ["efficienthrnet-h4", "lpn-50", "hwl"])
def test_the_shipped_recipes_networks_fit_their_losses(labelled: Path, name: str) -> None:
    torch.set_num_threads(1)
    given = read_recipe(name, {"coco": "coco", "unlabelled": "pictures", "labels": "labels.json"})
    toy = read(labelled)
    recipe = replace(
        given, sizes=("64x64",), batch=2, pictures=2, data=toy.data, holdout=None, iterate=toy.iterate
    )
    loss = one_loss(task_of(recipe))
    assert torch.isfinite(loss)
    assert 0 < float(loss.detach()) < 1


def test_trained_weights_are_of_networks_that_can_be_exported() -> None:
    assert set(MODELS) <= set(TRAINABLE)


def test_a_start_from_a_network_of_another_family_is_refused(labelled: Path) -> None:
    recipe = read_pafs(labelled)
    start = PruneStart(method="prune", weights="omz", network="hwl")
    task = task_of(replace(recipe, start=start))
    with pytest.raises(UsageError, match=r"start\.network 'hwl': expected one of lw-openpose"):
        task.start(task.read_samples())


def test_weight_functions_reach_the_loss(labelled: Path) -> None:
    recipe = read(labelled, "tiny-crops")
    assert isinstance(recipe, CropRecipe)
    losses = []
    for function in ("none", "x", "e^x"):
        torch.manual_seed(0)
        targets = replace(recipe.targets, function=function)
        losses.append(float(one_loss(task_of(replace(recipe, targets=targets))).detach()))
    assert losses[1] > 2 * losses[0]  # plus the half that the plain loss has in front
    assert losses[2] > losses[1]


def test_measuring_during_training_keeps_the_best_weights(labelled: Path) -> None:
    edited(labelled, ("train_every = 3", "train_every = 3\nevery = 3"), ('["64x64", "96x64"]', '["64x64"]'))
    assert train(labelled, "run") == 0
    assert measured(labelled / "run") == [("0", "3"), ("0", "6"), ("0", "8")]
    assert (labelled / "run/best.safetensors").exists()
    assert train(labelled, "run") == 0  # done already: nothing is measured again
    assert len(measured(labelled / "run")) == 3


def test_stages_stopped_anywhere_end_with_the_same_bytes(labelled: Path) -> None:
    torch.set_num_threads(1)
    edited(
        labelled,
        ('network = "tiny"', 'network = "tiny-crops"'), ('["64x64", "96x64"]', '["64x64"]'),
        ("pictures = 16", "pictures = 6"), ("train_every = 3", "train_every = 3\nevery = 2"),
        more="\n[iterate]\nstages = 3\n",
    )  # fmt: skip
    assert train(labelled, "whole") == 0
    found = measured(labelled / "whole")
    assert found == [(str(s), str(n)) for s in range(3) for n in (2, 3)]
    for _ in range(20):
        assert train(labelled, "pieces", "--minutes", "1e-9") == 0
        if (labelled / "pieces/weights.safetensors").exists():
            break
    for name in ("weights", "best", "stage-0", "stage-1", "stage-2"):
        whole, pieces = (labelled / run / f"{name}.safetensors" for run in ("whole", "pieces"))
        assert whole.read_bytes() == pieces.read_bytes(), name


def test_a_stage_starts_from_the_best_weights(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed over are the weights of the higher AP; here they are set to 0 on the way, to be told apart."""
    aps, given = iter([7.0, 3.0, 1.0, 2.0]), []
    read_best = Measure.best_of_stage

    def as_zeros(self: Measure, stage: int) -> dict[str, torch.Tensor]:
        given.append(stage)
        return {k: torch.zeros_like(v) for k, v in read_best(self, stage).items()}

    monkeypatch.setattr(Measure, "__call__", lambda *_: next(aps))
    monkeypatch.setattr(Measure, "best_of_stage", as_zeros)
    edited(
        labelled,
        ('network = "tiny"', 'network = "tiny-crops"'), ("pictures = 16", "pictures = 4"),
        ("train_every = 3", "train_every = 3\nevery = 1"), more="\n[iterate]\nstages = 2\n",
    )  # fmt: skip
    assert train(labelled, "run") == 0
    best, first = (labelled / "run" / name for name in ("best.safetensors", "stage-0.safetensors"))
    assert best.read_bytes() == first.read_bytes()
    assert given == [0]
    assert float(load_file(first)["0.weight"].abs().max()) > 0.1
    assert float(load_file(labelled / "run/stage-1.safetensors")["0.weight"].abs().max()) < 0.01
    checkpoint = torch.load(labelled / "run/checkpoint.pt", weights_only=True)
    assert (checkpoint["stage"], checkpoint["best"], checkpoint["stage_best"]) == (1, 7.0, 2.0)


def test_stages_need_held_out_pictures(labelled: Path) -> None:
    with pytest.raises(InputError, match="needs a \\[holdout\\]"):
        replace(read(labelled), holdout=None, iterate=replace(read(labelled).iterate, stages=2))


def test_a_teachers_maps_are_learnt(labelled: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    weights = tmp_path / "teacher.safetensors"
    save_file(LwOpenPose("omz").state_dict(), weights)
    recipe = replace(read_pafs(labelled), sizes=("64x64",))
    spec = PafDistillation(weights=str(weights), scale=1.5, share=1.0)
    task = task_of(replace(recipe, distillation=spec))
    assert isinstance(task, PafTask)
    samples = task.read_samples()
    picture, maps, mask, larger = (v[None] for v in samples[0])
    assert larger.shape == (1, 3, 96, 96)
    plain = task_of(recipe).read_samples()[0]
    assert all(torch.equal(a, b[0]) for a, b in zip(plain, (picture, maps, mask), strict=True))
    taught = MapsTeacher(spec)(larger, (8, 8))
    assert taught.shape == maps.shape
    perfect = [(taught[:, :19], taught[:, 19:])]
    assert float(task.loss(perfect, [maps, mask, larger])) == pytest.approx(0, abs=1e-6)
    half = task_of(replace(recipe, distillation=replace(spec, share=0.25)))
    labels_alone = task_of(recipe).loss(perfect, [maps, mask])
    assert float(half.loss(perfect, [maps, mask, larger])) == pytest.approx(0.75 * float(labels_alone))


def test_a_teacher_completes_the_labels(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def teacher(path: Path, network: tuple[int, int], grid: tuple[int, int]) -> object:
        made.append((path.name, network, grid))
        return lambda _: np.full((57, *grid), 0.25, np.float32)

    monkeypatch.setattr("export.train.tasks.paf_task.Teacher", teacher)
    recipe = replace(read_pafs(labelled), sizes=("64x96",))
    samples = task_of(replace(recipe, teacher="t.tflite")).read_samples()
    plain = task_of(recipe).read_samples()
    for number in (0, 1):
        maps, labels = samples[number][1], plain[number][1]
        assert float(maps[:18].min()) == 0.25
        assert torch.equal(maps[:18], labels[:18].clamp(min=0.25))
    assert made == [("t.tflite", (64, 96), (12, 8))]


def test_the_teacher_sees_the_same_crop(labelled: Path, tmp_path: Path) -> None:
    recipe = replace(read_pafs(labelled), sizes=("64x64",))
    light = replace(recipe.augmentation, gain=0, offset=0, grey=0, noise=0, scale=(1.5, 2.0))
    spec = PafDistillation(weights=str(tmp_path), scale=2.0)
    samples = task_of(replace(recipe, augmentation=light, distillation=spec)).read_samples()
    smooth = np.broadcast_to(np.arange(80, dtype=np.uint8)[None, :, None] * 3, (60, 80, 3)).copy()
    write_picture(smooth, tmp_path / "smooth/smooth.png")
    store = PictureStore(tmp_path / "smooth")
    samples.examples[:] = [replace(samples.examples[0], store=store, name="smooth.png")]
    picture, _, _, larger = samples[0]
    small = torch.nn.functional.avg_pool2d(larger[None].float(), 2)[0]
    inner = (picture > 20) & (picture < 110)
    assert float((small - picture.float())[inner].abs().mean()) < 1.5


def test_training_starts_from_the_weights_that_come_along(labelled: Path) -> None:
    task = task_of(
        replace(
            read_pafs(labelled),
            network="lw-openpose-pi",
            start=PruneStart(method="load", weights="bundled"),
        )
    )
    samples = task_of(read(labelled)).read_samples()
    shipped = load_file(weights_path("lw-openpose-pi"))
    state = task.start(samples).state_dict()
    assert state.keys() == shipped.keys()
    assert all(torch.equal(state[k], v.float()) for k, v in shipped.items())
    teacher = MapsTeacher(PafDistillation(weights="bundled"))
    assert teacher(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), (4, 4)).shape == (1, 57, 4, 4)
    with pytest.raises(WeightsError, match="bundled"):
        task_of(replace(read(labelled, "tiny-crops"), start=Start(method="load", weights="bundled"))).start(
            samples
        )


def test_a_checkpoint_of_an_earlier_version_goes_on(labelled: Path) -> None:
    """It lacks the figures that came later; a recipe that says what was the default is the same recipe."""
    assert train(labelled, "run", "--minutes", "1e-9") == 0
    path = labelled / "run/checkpoint.pt"
    data = torch.load(path, weights_only=True)
    for key in ("stage", "measured", "best", "stage_best", "losses", "lost"):
        del data[key]
    torch.save(data, path)
    recipe = labelled / "recipe.toml"
    recipe.write_text(
        'teacher = ""\nquantization_aware = false\n' + recipe.read_text() + "\n[iterate]\nstages = 1\n"
    )
    assert train(labelled, "run") == 0
    assert (labelled / "run/weights.safetensors").exists()

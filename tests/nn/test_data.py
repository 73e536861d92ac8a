"""Pictures to train on: where they come from, what is done to them, and what is refused."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xnorhw.ir.errors import ToolError, XnorhwError
from xnorhw.nn.data import Arrays, Folder, augmented, cropped, flipped, load_data, resized, robots, scenes

Image = pytest.importorskip("PIL.Image")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- what is drawn ---------------------------------------------------------------------------


@pytest.mark.parametrize(("draw", "classes"), [(robots, 2), (scenes, 8)])
def test_drawn_pictures_depend_on_seed_and_number_alone(draw: Any, classes: int) -> None:
    first, again, other = draw(24, 16), draw(40, 24), draw(24, 16, seed=1)
    assert len(first.classes) == classes and first.train.pixels.dtype == torch.uint8
    assert torch.equal(first.train.pixels, again.train.pixels[:24])
    assert torch.equal(first.test.pixels, again.train.pixels[24:40]), "the test goes on where training ends"
    assert not torch.equal(first.train.pixels, other.train.pixels)
    assert np.array_equal(np.unique(first.train.labels), np.arange(classes))
    # no picture twice, none empty
    flat = first.train.pixels.flatten(1)
    assert len(torch.unique(flat, dim=0)) == 24 and bool((flat.float().std(dim=1) > 2).all())


def test_drawn_pictures_take_their_shape() -> None:
    assert robots(2, 2).shape == (1, 32, 32)
    assert robots(2, 2, channels=3, size=48).train.pixels.shape == (2, 3, 48, 48)
    for wrong in ({"channels": 2}, {"size": 8}, {"count": 1}):
        with pytest.raises(ValueError, match="drawn in"):
            robots(**{"count": 4, "tested": 4, **wrong})


def test_robot_classes_are_told_apart_by_their_middles() -> None:
    """A robot stands in the middle: brighter there than the field, on the average."""
    data = robots(400, 2)
    middle = data.train.pixels[:, 0, 8:24, 12:20].float().mean(dim=(1, 2))
    robot = torch.from_numpy(data.train.labels == 1)
    assert float(middle[robot].mean()) > 1.3 * float(middle[~robot].mean())


# --- what is done to pictures ----------------------------------------------------------------


def test_crop_moves_each_picture_by_its_own_step() -> None:
    pixels = torch.arange(1, 5 * 2 * 6 * 6 + 1).view(5, 2, 6, 6)
    moved = cropped(pixels, 2, generator())
    assert moved.shape == pixels.shape and moved.dtype == pixels.dtype
    padded = torch.nn.functional.pad(pixels, (2, 2, 2, 2))
    steps = set()
    for picture, source in zip(moved, padded, strict=True):
        places = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(picture, source[:, y : y + 6, x : x + 6])
        ]
        assert len(places) == 1, "every channel moves alike"
        steps.add(places[0])
    assert len(steps) > 1
    assert torch.equal(cropped(pixels, 0, generator()), pixels)


def test_flip_mirrors_about_half() -> None:
    pixels = torch.arange(400 * 4).view(400, 1, 1, 4)
    turned = flipped(pixels, generator())
    mirrored = (turned == pixels.flip(3)).flatten(1).all(dim=1)
    assert bool((mirrored | (turned == pixels).flatten(1).all(dim=1)).all())
    assert 150 < int(mirrored.sum()) < 250


def test_augmentation_is_a_function_of_its_generator() -> None:
    pixels = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8, generator=generator(1))
    one, two = (augmented(pixels, generator(4), shift=2, flip=True) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, augmented(pixels, generator(5), shift=2, flip=True))


def test_resized() -> None:
    grey = torch.full((2, 1, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(resized(grey, (3, 20, 20)), torch.full((2, 3, 20, 20), 77, dtype=torch.uint8))
    colour = torch.tensor([200, 100, 50], dtype=torch.uint8).view(1, 3, 1, 1)
    assert int(resized(colour, (1, 1, 1))) == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    with pytest.raises(ValueError, match="2 channels"):
        resized(torch.zeros(1, 2, 4, 4, dtype=torch.uint8), (3, 4, 4))


def test_arrays_refuse_what_is_no_picture() -> None:
    for pixels, labels in (
        (np.zeros((2, 8, 8), np.uint8), np.zeros(2)),
        (np.zeros((2, 1, 8, 8), np.float32), np.zeros(2)),
        (np.zeros((2, 1, 8, 8), np.uint8), np.zeros(3)),
    ):
        with pytest.raises(ValueError, match="uint8"):
            Arrays(pixels, labels)  # type: ignore[arg-type]


# --- sets by name ----------------------------------------------------------------------------


def test_digits_in_another_shape() -> None:
    data = load_data("digits", shape=(3, 16, 16))
    assert data.shape == (3, 16, 16) and data.train.batch(torch.arange(5)).shape == (5, 3, 16, 16)
    assert (len(data.train), len(data.test), len(data.classes)) == (1347, 450, 10)


class StandIn:
    """torchvision.datasets, as far as it is used: the three sets and how they hold their arrays."""

    def __init__(self, missing: bool = False) -> None:
        self.missing = missing
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def made(root: str, **options: Any) -> Any:
            self.calls.append((root, options))
            if self.missing:
                raise RuntimeError("Dataset not found. You can use download=True to download it")
            count = 6 if options.get("train", options.get("split") == "train") else 4
            if name == "MNIST":
                return types.SimpleNamespace(
                    data=torch.arange(count * 28 * 28, dtype=torch.int64).view(count, 28, 28).to(torch.uint8),
                    targets=torch.arange(count),
                )
            if name == "CIFAR10":
                pixels = np.arange(count * 32 * 32 * 3).reshape(count, 32, 32, 3).astype(np.uint8)
                return types.SimpleNamespace(data=pixels, targets=list(range(count)))
            pixels = np.arange(count * 3 * 32 * 32).reshape(count, 3, 32, 32).astype(np.uint8)
            return types.SimpleNamespace(data=pixels, labels=np.arange(count))

        return made


@pytest.fixture
def stand_in(monkeypatch: Any) -> StandIn:
    sets = StandIn()
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", sets)
    return sets


def test_sets_of_torchvision(stand_in: StandIn, tmp_path: Path) -> None:
    mnist = load_data("mnist", tmp_path)
    assert mnist.shape == (1, 28, 28) and len(mnist.train) == 6 and len(mnist.test) == 4
    assert mnist.train.batch(torch.tensor([1]))[0, 0, 0, :3].tolist() == [16, 17, 18]  # 784 mod 256
    cifar = load_data("cifar10", tmp_path, download=True)
    assert cifar.shape == (3, 32, 32) and cifar.classes[3] == "cat"
    assert cifar.train.batch(torch.tensor([0]))[0, :, 0, 1].tolist() == [3, 4, 5], "channels come first"
    svhn = load_data("svhn", tmp_path)
    assert svhn.train.batch(torch.tensor([0]))[0, 1, 0, 0].item() == 0 and svhn.test.labels.tolist() == [
        0,
        1,
        2,
        3,
    ]
    assert [c[1]["download"] for c in stand_in.calls] == [False, False, True, True, False, False]
    assert all(root == str(tmp_path) for root, _ in stand_in.calls)


def test_a_set_that_is_not_there(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.missing = True
    with pytest.raises(
        XnorhwError, match=r"mnist does not lie in .*Dataset not found.*--data-dir.*--download"
    ):
        load_data("mnist", tmp_path)


def test_without_torchvision(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(sys.modules, "torchvision.datasets", raising=False)
    with pytest.raises(ToolError, match=r"torchvision, which is not installed.*xnorhw\[data\]"):
        load_data("svhn", tmp_path)


def test_a_torchvision_of_another_torch(monkeypatch: Any, tmp_path: Path) -> None:
    """Its import fails in C++, with a RuntimeError."""

    class Broken:
        def find_spec(self, name: str, *_: Any) -> None:
            if name.startswith("torchvision"):
                raise RuntimeError("operator torchvision::nms does not exist")

    for name in [n for n in sys.modules if n.startswith("torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(ToolError, match="does not go with this torch .*nms"):
        load_data("cifar10", tmp_path)


def test_an_unknown_set() -> None:
    with pytest.raises(XnorhwError, match=r"--data imagenet: there is no such data set.*imagefolder:DIR"):
        load_data("imagenet")


# --- folders of pictures ---------------------------------------------------------------------


def paint(root: Path, count: int, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = np.full((20 + i, 30, 3), 40 * number + i, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:02}.png")
    return root


def test_a_folder_of_classes_is_split(tmp_path: Path) -> None:
    data = load_data(f"imagefolder:{paint(tmp_path / 'pets', 10)}", shape=(3, 16, 16), seed=3)
    assert data.name == "pets" and data.classes == ("cat", "dog")
    assert isinstance(data.train, Folder) and isinstance(data.test, Folder)
    assert len(data.train) == 16 and np.bincount(data.test.labels).tolist() == [2, 2]
    assert not set(data.train.files) & set(data.test.files)
    again = load_data(f"imagefolder:{tmp_path / 'pets'}", shape=(3, 16, 16), seed=3)
    other = load_data(f"imagefolder:{tmp_path / 'pets'}", shape=(3, 16, 16), seed=4)
    assert again.test.files == data.test.files != other.test.files  # type: ignore[attr-defined]
    batch = data.train.batch(torch.arange(16))
    assert batch.shape == (16, 3, 16, 16) and batch.dtype == torch.uint8
    for picture, path, label in zip(batch, data.train.files, data.train.labels, strict=True):
        assert (picture == 40 * int(label) + int(path.stem)).all()
    assert data.sized((1, 8, 8)).train.batch(torch.arange(2)).shape == (2, 1, 8, 8)
    assert data.train.batch(torch.arange(0)).shape == (0, 3, 16, 16)


def test_folders_of_train_and_val(tmp_path: Path) -> None:
    paint(tmp_path / "train", 3)
    paint(tmp_path / "val", 2)
    data = load_data(f"imagefolder:{tmp_path}", shape=(3, 16, 16))
    assert (len(data.train), len(data.test)) == (6, 4)


def test_the_middle_of_a_picture_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    data = load_data(f"imagefolder:{tmp_path}", shape=(1, 10, 10))
    assert bool((data.train.batch(torch.arange(2)) == 255).all())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda root: None, "it is no folder"),
        (lambda root: root.write_text("x"), "it is no folder"),
        (lambda root: root.mkdir(), "holds 0 folders"),
        (lambda root: paint(root, 3, ("one",)), "holds 1 folders"),
        (lambda root: [(root / n).mkdir(parents=True) for n in "ab"], "holds no picture"),
        (lambda root: paint(root, 1), "holds one picture"),
        (lambda root: paint(root / "train", 2), "neither test nor val"),
        (lambda root: [paint(root / "train", 2), paint(root / "val", 2, ("cat", "fox"))], "other classes"),
    ],
)
def test_a_folder_that_is_none(tmp_path: Path, make: Any, reason: str) -> None:
    root = tmp_path / "pictures"
    make(root)
    with pytest.raises(XnorhwError) as caught:
        load_data(f"imagefolder:{root}", shape=(3, 16, 16))
    assert reason in caught.value.reason and caught.value.module == f"--data imagefolder:{root}"
    assert "a folder of pictures for each class" in caught.value.remedy


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    paint(tmp_path, 4)
    (tmp_path / "cat" / "00.png").write_bytes(b"no picture")
    data = load_data(f"imagefolder:{tmp_path}", shape=(3, 16, 16))
    with pytest.raises(XnorhwError, match=r"00\.png: it cannot be read as a picture"):
        for part in (data.train, data.test):
            part.batch(torch.arange(len(part)))

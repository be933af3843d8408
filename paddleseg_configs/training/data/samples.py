"""Training samples in an order that depends only on the seed, so that a resumed run sees the same samples."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

from paddleseg_configs.training.data.loading import load_batches


class SampleStream:
    """Sample number p of a training run: shuffled epochs of a dataset, one after the other.

    Args:
        dataset: returns (image, levels) by index.
        seed: determines order and augmentation.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed = dataset, seed
        self._epoch, self._order = -1, np.empty(0, np.intp)

    def __getitem__(self, position: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Augment with generators seeded by the position: PaddleSeg's transforms use both global ones."""
        epoch, place = divmod(position, len(self.dataset))
        if epoch != self._epoch:
            self._order = np.random.default_rng((self.seed, epoch)).permutation(len(self.dataset))
            self._epoch = epoch
        entropy = int(np.random.SeedSequence((self.seed, position, 1)).generate_state(1)[0])
        random.seed(entropy)
        np.random.seed(entropy)
        sample: tuple[NDArray[np.float32], NDArray[np.int64]] = self.dataset[int(self._order[place])]
        return sample


def batches(
    dataset: Any,
    *,
    seed: int,
    batch_size: int,
    first: int,
    last: int,
    num_workers: int,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[tuple[paddle.Tensor, paddle.Tensor]]:
    """Batches of iterations `first` to `last` (exclusive): (N, 3, H, W) float32 images and (N, H, W) int64 levels.

    Process number `rank` of `world_size` takes every `world_size`-th batch of one common stream.
    """
    stream = SampleStream(dataset, seed)
    numbers = range(first * world_size + rank, last * world_size, world_size)
    plan = (range(number * batch_size, (number + 1) * batch_size) for number in numbers)
    return load_batches(stream, plan, num_workers)


def seed_iteration(seed: int, iteration: int) -> None:
    """Seed Paddle's generator, which dropout uses, for one iteration."""
    paddle.seed(int(np.random.SeedSequence((seed, iteration, 2)).generate_state(1)[0]))

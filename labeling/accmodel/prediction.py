"""Run AccModel over frames; see `labeling/predict_importance.py`."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch

from deploy.core.errors import InputError
from deploy.core.files import atomic_path, write_npz
from deploy.core.progress import track
from deploy.core.resize import reduce_frame
from deploy.inputs.sources import open_source
from deploy.inputs.video import FrameSelection
from labeling.accmodel.network import load_accmodel, to_images
from labeling.accmodel.options import PredictImportanceOptions
from labeling.networks.devices import pick_device


def predict_importance(options: PredictImportanceOptions) -> None:
    """Write ``importance.pth`` and ``importance.npz`` into ``options.out``.

    Raises:
        RegenError: the model or the input cannot be used, or the frames differ in size.
    """
    device = pick_device(options.device)
    model = load_accmodel(options.model).to(device)
    source = open_source(str(options.input), FrameSelection(every=options.every))
    wanted = options.height or model.spec.height_px
    times: list[tuple[int, Fraction]] = []
    maps: list[torch.Tensor] = []
    for frame in track(source.frames, total=source.num_frames, label="predicting"):
        height = min(wanted, frame.image.shape[0])
        width = max(1, round(frame.image.shape[1] * height / frame.image.shape[0]))
        lr = reduce_frame(frame.image, height_px=height, width_px=width, reduction=model.spec.reduction)
        with torch.no_grad():
            found = model.importance(to_images([lr], device)).cpu()
        if maps and maps[0].shape != found.shape:
            name = frame.image_name or f"frame {frame.index}"
            raise InputError(
                f"{name} has {found.shape[2]} x {found.shape[3]} macroblocks, "
                f"but the first has {maps[0].shape[2]} x {maps[0].shape[3]}",
                hint="Use frames of one size.",
            )
        times.append((frame.index, frame.pts_seconds))
        maps.append(found)
    source.report.show()
    importance = torch.cat(maps)
    with atomic_path(options.out / "importance.pth") as temporary:
        torch.save(importance, temporary)
    write_npz(
        options.out / "importance.npz",
        importance=importance[:, 0].numpy(),
        frame_index=np.array([index for index, _ in times], np.int64),
        pts_numerator=np.array([time.numerator for _, time in times], np.int64),
        pts_denominator=np.array([time.denominator for _, time in times], np.int64),
    )
    print(f"wrote {tuple(importance.shape)} to {options.out / 'importance.pth'} and importance.npz")

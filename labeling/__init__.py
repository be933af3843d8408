"""Video -> macroblock importance labels (PyTorch)."""

from __future__ import annotations

from deploy.core.lazy import install_moved_modules

install_moved_modules(
    {
        "labeling.dataset.utility_record": "labeling.utility.record",
        "labeling.frames": "labeling.core.frames",
        "labeling.pipelines": "labeling.labels",
        "labeling.pipelines.accmodel_training": "labeling.accmodel.training",
        "labeling.pipelines.importance_prediction": "labeling.accmodel.prediction",
        "labeling.pipelines.label_videos": "labeling.labels.label_videos",
    }
)

"""Material that several tests share: the demo clip, some of its frames, and a folder of optional detectors."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.inputs.video import Frame, FrameSelection, read_frames

if TYPE_CHECKING:
    from torch import Tensor

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for whatever a shell starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parent
SLOW = frozenset(
    {
        "deploy/detectors/test_onnx_detector.py::test_it_finds_what_labelling_finds",
        "deploy/enhancement/test_enhance.py", "deploy/enhancement/test_enhancer.py",
        "deploy/enhancement/test_ray_engine.py", "deploy/inference/test_footage.py::test_every_frame_once_at_its_time",
        "deploy/inference/test_growing.py::test_a_file_that_is_cut_off_meanwhile",
        "deploy/inference/test_growing.py::test_closed_segments_survive_and_the_same_command_goes_on",
        "deploy/inference/test_growing.py::test_lines_go_to_a_program_behind_as_they_come",
        "deploy/inputs/test_footage.py::test_hdr_has_the_contrast_of_other_video",
        "deploy/inputs/test_footage.py::test_notes_come_once",
        "deploy/inputs/test_footage.py::test_one_bad_packet_loses_one_picture",
        "deploy/inputs/test_footage.py::test_pictures_times_and_positions",
        "deploy/inputs/test_videos_benchmark.py::test_both_ways_are_equal",
        "deploy/test_benchmarks.py::test_rankings_of_clips",
        "deploy/test_worth.py::test_annotations_give_average_precision", "deploy/test_worth.py::test_it_answers",
        "export/test_export_onnx.py", "export/test_export_upscaler.py::test_carn",
        "export/test_export_upscaler.py::test_the_card_says_what_the_network_is", "export/test_tensorrt_ladder.py",
        "labeling/dataset/test_findings.py", "labeling/detectors/test_adapters.py",
        "labeling/detectors/test_detectors.py::test_only_the_named_classes_are_kept",
        "labeling/detectors/test_onnx_families.py", "labeling/detectors/test_programs.py",
        "labeling/labels/test_bad_input.py", "labeling/labels/test_footage.py",
        "labeling/labels/test_importance_reuse.py", "labeling/labels/test_label_engines.py",
        "labeling/labels/test_low_resolution.py", "labeling/labels/test_make_labels.py",
        "labeling/labels/test_splits_by_hand.py",
        "labeling/maths/test_importance.py::test_gradient_equals_finite_differences",
        "labeling/maths/test_importance.py::test_path_splits_the_whole_change",
        "labeling/networks/test_array_detector.py::test_the_command",
        "labeling/study/test_evaluate_labels.py::test_a_run_is_measured_once_and_written_up",
        "labeling/study/test_evaluate_labels.py::test_another_file_is_refused", "labeling/test_accmodel.py",
        "labeling/test_demo.py", "labeling/test_import_pickle.py::test_old_ground_truth_becomes_npz",
        "labeling/upscalers/test_detection_training.py", "paddleseg_configs/ladder/test_compare.py",
        "paddleseg_configs/training/test_any_size.py", "paddleseg_configs/training/test_commands.py",
        "paddleseg_configs/training/test_loop.py",
        "paddleseg_configs/training/test_previous.py::test_trained_exported_and_given_at_run_time",
        "paddleseg_configs/training/test_sizes.py", "project/test_docs.py", "project/test_faults.py",
        "project/test_fuzz.py", "project/test_hostile_names.py", "project/test_wheel.py",
    }
)  # fmt: skip
"""Files of tests, or single tests, that take seconds, left out of `make test-fast` to keep it below two minutes."""


def is_slow(path: Path, test: str = "") -> bool:
    return path.is_relative_to(TESTS) and f"{path.relative_to(TESTS)}{test}" in SLOW


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Slow files are not even imported where they are left out."""
    return True if config.option.markexpr == "not slow" and is_slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and those of slow files."""
    for item in items:
        if is_slow(item.path) or is_slow(item.path, f"::{item.name.partition('[')[0]}"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def vtest() -> Path:
    """The demo's clip: 768 x 576, people seen from above. Without it the tests fail rather than skip."""
    spec = importlib.util.spec_from_file_location("get_demo_clip", REPOSITORY / "datasets" / "get_demo_clip.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    path: Path = script.DEFAULT_OUT
    script.get_demo_clip(path)
    return path


@pytest.fixture(scope="session")
def vtest_frames(vtest: Path) -> list[Frame]:
    """Three frames of the demo clip, at 0, 5 and 10 seconds."""
    return list(read_frames(vtest, selection=FrameSelection(stop_seconds=10.05, every=50)))


@pytest.fixture(scope="session")
def images(vtest_frames: list[Frame]) -> Tensor:
    """(2, 3, 150, 210): a van and people; not a multiple of anything."""
    import torch

    parts = [torch.from_numpy(frame.image[60:210, 100:310].copy()) for frame in vtest_frames[:2]]
    return torch.stack(parts).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="session")
def assets() -> Path:
    """Folder of FastestDet.onnx and nanodet_m.onnx, which are no part of the project."""
    named = os.environ.get("REGEN_ASSETS")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "assets"
    if not folder.is_dir():
        pytest.skip(f"no folder of detectors at {folder}: set REGEN_ASSETS")
    return folder

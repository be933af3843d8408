"""The whole comparison with a detector of bright squares and an engine that knows the true frame."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.core.grid import Grid
from deploy.detectors.detections import Detections
from deploy.prediction.postprocess import top_blocks
from deploy.worth_it.chart import accuracy_chart, spread
from deploy.worth_it.measuring import Bench
from deploy.worth_it.page import make_page
from deploy.worth_it.pictures import found_flags
from deploy.worth_it.run import SHOWN, Answer, table_of, write_answer
from deploy.worth_it.samples import Sample
from deploy.worth_it.verdict import judge
from deploy.worth_it.ways import BoxesBefore, Enhanced, enhancing_ways, larger_way, lighter_way, sliced_way
from tests.helpers.browser import needs_chromium, opened

SIZE, SCALE = (64, 96), 2
Image8 = NDArray[np.uint8]


def true_frame(number: int) -> Image8:
    """Six squares, which move from frame to frame."""
    image = np.zeros((SIZE[0] * SCALE, SIZE[1] * SCALE, 3), np.uint8)
    for column in range(6):
        x, y = 8 + 30 * column, 8 + (17 * column + 3 * number) % 100
        image[y : y + 10, x : x + 10] = 255
    return image


def detect(image: Image8) -> Detections:
    """A square of full brightness is an object; a gray one is not."""
    boxes = []
    for column in range(6):
        left, right = (round((8 + 30 * column + side) * image.shape[1] / (SIZE[1] * SCALE)) for side in (-2, 12))
        rows = np.nonzero((image[:, left:right] == 255).all(axis=2).any(axis=1))[0]
        if len(rows):
            unit = image.shape[1] / (SIZE[1] * SCALE)
            boxes.append([left + 2 * unit, rows.min(), right - 2 * unit, rows.max() + 1])
    count = len(boxes)
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(xyxy, np.linspace(0.9, 0.5, count).astype(np.float32), np.zeros(count, np.int64), ("square",))


class KnowingEngine:
    """Gray where nothing is enhanced; true where it is. The predictor's importance is the brightness."""

    scale = SCALE

    def __init__(self, *, takes_previous: bool = False) -> None:
        self.takes_previous = takes_previous
        self.budgets: list[float] = []
        self.given: list[Detections | None] = []

    def grid(self, lr: Image8) -> Grid:
        return Grid(lr.shape[0], lr.shape[1], SCALE)

    def enhance(
        self,
        lr: Image8,
        budget: float,
        ranking: NDArray[np.float32] | None = None,
        previous: Detections | None = None,
    ) -> Enhanced:
        self.budgets.append(budget)
        grid = self.grid(lr)
        if ranking is None:
            if budget not in (0, 1):
                self.given.append(previous)
            ranking = grid.pool(lr[..., 0])
        selected = top_blocks(ranking, budget)
        image = lr.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
        return Enhanced(np.where(grid.upsample_to_sr(selected)[..., None], image, image // 2), selected)


def samples(count: int) -> list[Sample]:
    frames = [true_frame(number) for number in range(count + 1)]
    small = [frame[::SCALE, ::SCALE] for frame in frames]
    return [Sample(n, small[n], frames[n], small[n - 1]) for n in range(1, count + 1)]


@pytest.fixture(scope="module")
def answer() -> Answer:
    engine = KnowingEngine()
    ways = [
        *enhancing_ways(engine, detect),
        sliced_way(engine, detect),
        BoxesBefore(engine, detect).way(),
        larger_way(SCALE, detect, (256, 384), 2.0),
        lighter_way("another", engine, detect),
    ]
    bench = Bench(ways, detect, SHOWN)
    verdict = judge(bench.run(samples(12)))
    return Answer(verdict, tuple(way.kind for way in ways), ("A note.",), tuple(bench.looks))


def test_the_ends_and_what_lies_between(answer: Answer) -> None:
    f1 = {row.way: row.f1 for row in answer.verdict.rows}
    assert f1["nothing (interpolated)"] == 0 and f1["everything super-resolved"] == f1["everything by another"] == 1
    assert f1["top 5% by predictor"] < f1["top 20% by predictor"] < f1["top 30% by predictor"] <= 1
    assert f1["random 20%"] < f1["top 20% by predictor"]
    assert f1["detector at 384x256, interpolated"] == 1, "interpolation is all that this detector needs there"
    assert all(row.f1_low <= row.f1 <= row.f1_high and row.milliseconds > 0 for row in answer.verdict.rows)


def test_a_predictor_that_takes_them_gets_the_detections_of_the_frame_before() -> None:
    for takes in (True, False):
        engine, looked = KnowingEngine(takes_previous=takes), 0

        def counted(image: Image8) -> Detections:
            nonlocal looked
            looked += 1
            return detect(image)

        before = BoxesBefore(engine, counted, 0.55)
        ways = enhancing_ways(engine, detect, before)
        for sample in samples(3):
            for way in ways:
                if way.prepare is not None:
                    way.prepare(sample)
                way.run(sample)
        assert len(engine.given) == 4 * 3, "four budgets"
        if takes:
            assert looked == 2 * 3, "twice in each frame before, however many ways ask"
            assert all(given is not None and (given.confidence >= 0.55).all() for given in engine.given)
            found = BoxesBefore(engine, detect, 0.55)
            found.look(samples(3)[-1])
            assert found.found is not None and engine.given[-1] is not None
            np.testing.assert_array_equal(engine.given[-1].xyxy, found.found.xyxy)
        else:
            assert looked == 0 and engine.given == [None] * 12 and all(way.prepare is None for way in ways)


def test_files(answer: Answer, tmp_path: Path) -> None:
    from deploy.worth_it.options import WorthOptions

    options = WorthOptions(
        video=Path("v.mp4"), detector=Path("d.onnx"), json=tmp_path / "w.json", out=tmp_path / "page.html"
    )
    write_answer(answer, options, KnowingEngine())
    stored = json.loads((tmp_path / "w.json").read_text())
    assert isinstance(stored["verdict"], str) and stored["worth_it"] in (True, False)
    assert {"way", "budget", "f1", "f1_low", "f1_high", "milliseconds"} <= set(stored["rows"][0])
    assert [row["budget"] for row in stored["rows"][:6]] == [0.0, 1.0, 0.05, 0.1, 0.2, 0.3]
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/png;base64,") == 2 * len(answer.looks) == 6
    assert "http" not in page.replace("http://www.w3.org/2000/svg", ""), "a page that stands alone"


def test_the_table_has_a_line_a_way(answer: Answer) -> None:
    assert len(table_of(answer.verdict).text().splitlines()) == 1 + len(answer.verdict.rows)


@needs_chromium
def test_the_page_in_a_browser(answer: Answer, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(
        make_page("a <b>.mp4", answer.verdict, answer.kinds, answer.notes, answer.looks, KnowingEngine()), "utf-8"
    )
    with opened(path) as page:
        assert page.locator("tbody tr").count() == len(answer.verdict.rows)
        assert page.locator("svg circle").count() == len(answer.verdict.rows)
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


def test_labels_of_the_chart_do_not_cover_each_other(answer: Answer) -> None:
    places = spread([(100.0, 50.0)] * 5 + [(110.0, 52.0), (300.0, 50.0)])
    for number, one in enumerate(places):
        for other in places[:number]:
            assert abs(one[0] - other[0]) >= 30 or abs(one[1] - other[1]) >= 14
    assert places[-1] == (300.0, 50.0)
    chart = accuracy_chart(answer.verdict.rows, answer.kinds)
    assert len(re.findall("<circle", chart)) == len(answer.verdict.rows) and "nan" not in chart


def test_found_flags() -> None:
    wanted = Detections(
        np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32), np.ones(2, np.float32), np.array([0, 1]), ("a", "b")
    )
    found = Detections(np.array([[1, 0, 10, 10]], np.float32), np.ones(1, np.float32), np.array([0]), ("a", "b"))
    assert found_flags(wanted, found).tolist() == [True, False] and found_flags(found, wanted).tolist() == [True]
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ("a", "b"))
    assert found_flags(wanted, none).tolist() == [False, False] and found_flags(none, wanted).tolist() == []


def test_frames_without_objects() -> None:
    """Nothing wanted, nothing found: F1 is 1 everywhere."""
    dark = [Sample(n, np.zeros((*SIZE, 3), np.uint8), np.zeros((128, 192, 3), np.uint8), None) for n in range(3)]
    engine = KnowingEngine()
    ways = enhancing_ways(engine, detect)
    bench = Bench(ways, detect, SHOWN)
    verdict = judge(bench.run(dark))
    assert bench.num_wanted == 0
    assert verdict.worth_it is False and all(row.f1 == 1 for row in verdict.rows)
    page = make_page("v", verdict, [way.kind for way in ways], [], bench.looks, engine)
    assert "nan" not in page.partition("<h2>Lost")[0]

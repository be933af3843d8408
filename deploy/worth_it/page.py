"""A self-contained page: the verdict, the curve, the table, and pictures of detections lost and regained."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from string import Template

from deploy.worth_it.chart import COLORS, accuracy_chart
from deploy.worth_it.measuring import Look
from deploy.worth_it.pictures import MEANINGS, data_uri, found_again_picture, lost_picture
from deploy.worth_it.verdict import Verdict, cells_of, heads_of
from deploy.worth_it.ways import Engine, Kind

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Is super-resolution worth it? $video</title>
<style>
body { font: 16px/1.5 sans-serif; max-width: 1200px; margin: 2rem auto; padding: 0 1rem; color: #111827; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .25rem .75rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #e5e7eb; }
th:nth-child(2), td:nth-child(2) { text-align: left; }
.verdict { font-size: 1.25rem; padding: 1rem; background: #f3f4f6; border-left: .4rem solid $tone; }
figure { margin: 1.5rem 0; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: .5rem; }
img, svg { width: 100%; height: auto; }
.mark { display: inline-block; width: .8em; height: .8em; }
</style>
</head>
<body>
<h1>Is super-resolution worth it?</h1>
<p class="verdict">$sentence</p>
$notes
<h2>Accuracy against time</h2>
<figure>$chart</figure>
<p>F1 of the detections, with the 95 % interval of the mean over frames; the numbers refer to the table. The line
connects no enhancement, the predictor's budgets and enhancement of the whole frame.</p>
$table
$looks
</body>
</html>
""")
_TONES = {True: "#16a34a", False: "#dc2626", None: "#ca8a04"}


def make_page(
    video: str, verdict: Verdict, kinds: Sequence[Kind], notes: Sequence[str], looks: Sequence[Look], engine: Engine
) -> str:
    """The page as HTML.

    Args:
        video: its name.
        verdict: sentence and rows.
        kinds: what each row stands for.
        notes: further notes, one sentence each.
        looks: frames to show.
        engine: enlarges them.
    """
    return _PAGE.substitute(
        video=escape(video),
        tone=_TONES[verdict.worth_it],
        sentence=escape(verdict.sentence[0].upper() + verdict.sentence[1:] + "."),
        notes="\n".join(f"<p>{escape(note)}</p>" for note in notes),
        chart=accuracy_chart(verdict.rows, kinds),
        table=_table(verdict, kinds),
        looks=_looks(looks, engine),
    )


def _table(verdict: Verdict, kinds: Sequence[Kind]) -> str:
    heads = "".join(f"<th>{head}</th>" for head in ("", "way", *heads_of(verdict)))
    lines = [f"<table><thead><tr>{heads}</tr></thead><tbody>"]
    for number, (row, kind) in enumerate(zip(verdict.rows, kinds, strict=True), start=1):
        cells = (f'<b style="color:{COLORS[kind]}">{number}</b>', escape(row.way), *cells_of(row))
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def _looks(looks: Sequence[Look], engine: Engine) -> str:
    if not looks:
        return ""
    legend = ", ".join(
        f'<span class="mark" style="background:{color}"></span> {meaning}' for color, meaning in MEANINGS.items()
    )
    parts = [
        "<h2>Detections lost and regained</h2>",
        f"<p>The frames that gain most: interpolated, and with the outlined blocks super-resolved. {legend}.</p>",
    ]
    for look in looks:
        lr, found, again = look.sample.lr, look.nothing.detections, look.predicted.detections
        pixels = engine.grid(lr).upsample_to_sr(look.enhanced.selected)
        left = data_uri(lost_picture(engine.enhance(lr, 0.0).image, look.wanted, found))
        right = data_uri(found_again_picture(look.enhanced.image, pixels, look.wanted, found, again))
        index = look.sample.index
        parts.append(
            f'<figure><div class="pair"><img src="{left}" alt="Frame {index}, interpolated, with detections">'
            f'<img src="{right}" alt="Frame {index}, enhanced, with detections"></div>'
            f"<figcaption>Frame {index}: {100 * look.gain:+.0f} points of F1.</figcaption></figure>"
        )
    return "\n".join(parts)

"""One HTML page about a drive: what happened when, with pictures; no script, nothing from outside, all text escaped."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

from edgeseg.files import write_text
from edgeseg.labels import LabelMap
from edgeseg.video.charts import areas, line, marks
from edgeseg.video.colours import display_palette
from edgeseg.video.drive_log import DriveLog, Incident
from edgeseg.video.scene.ahead import PERSON_AHEAD
from edgeseg.video.stats import RunReport

_NAMES = {PERSON_AHEAD: "person on the road ahead", "invalid": "model computed no numbers"}

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5c6878; --paper: #f6f7f9; --card: #fff; --line: #d9dee5;
  --ahead: #d3202f; --fault: #b26a00; --curve: #2563c9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf2; --dim: #9aa6b6; --paper: #12161c; --card: #1b2129;
  --line: #303945; --ahead: #ff5a66; --fault: #ffb340; --curve: #6ea4ff; } }
* { box-sizing: border-box } body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.45 system-ui, sans-serif } main { max-width: 68rem; margin: auto; padding: 1rem }
h1 { font-size: 1.4rem; margin: .2rem 0; overflow-wrap: anywhere } h2 { font-size: 1.05rem; margin: 0 0 .6rem }
section, .tile { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .9rem }
section { margin: 1rem 0 } .dim { color: var(--dim) } .tiles, .views { display: grid; gap: .7rem }
.tiles { grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)) } .tile b { display: block; font-size: 1.35rem }
.views { grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)) } figure { margin: 0 }
img { width: 100%; height: auto; display: block; border-radius: .4rem }
figcaption { font-size: .87rem; margin-top: .2rem }
svg { width: 100%; display: block; border: solid var(--line); border-width: 1px 0 }
.scale { display: flex; justify-content: space-between; margin: .15rem 0; font-size: .8rem; color: var(--dim) }
.ahead { fill: var(--ahead) } .fault { fill: var(--fault) } .curve { fill: none; stroke: var(--curve);
  stroke-width: 2; vector-effect: non-scaling-stroke }
ul { list-style: none; margin: .6rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem }
i { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin-right: .35rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: right; padding: .25rem .5rem }
th:first-child, td:first-child { text-align: left } tr + tr { border-top: 1px solid var(--line) }
"""


def write_drive_report(path: Path | str, log: DriveLog, run: RunReport, label_map: LabelMap, title: str) -> None:
    """Write the page about a drive that `log` has followed, atomically; raises `OutputError` where it cannot be."""
    write_text(path, drive_report(log, run, label_map, title))


def drive_report(log: DriveLog, run: RunReport, label_map: LabelMap, title: str) -> str:
    """The page, as HTML. `title` heads it, such as the name of the recording."""
    parts = [
        _tiles(log, run),
        _section("What happened", marks(log.incidents, log.end_s, PERSON_AHEAD) + _incidents(log)),
        _shares(log, label_map),
        _section("Latency", _latency(log, run)),
        _section("The drive", _views([(view.thumbnail_jpeg, clock(view.time_s)) for view in log.views])),
    ]
    if run.notes:
        parts.append(_section("Notes", "".join(f"<p>{escape(note)}</p>" for note in run.notes)))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>
<h1>{escape(title)}</h1><p class="dim">{escape(run.source)}</p>
{"".join(parts)}
<p class="dim">Made by edgeseg. The labels are a model's: no report shows what it did not see.</p>
</main></body></html>
"""


def clock(time_s: float) -> str:
    """Seconds → `1:02:03`, or `2:03` below an hour."""
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{content}</section>"


def _tiles(log: DriveLog, run: RunReport) -> str:
    ahead = [incident for incident in log.incidents if incident.kind == PERSON_AHEAD]
    total = run.stages.get("total")
    tiles = [
        (clock(log.end_s), "length"),
        (f"{run.frames:,}", "frames" + (f", {run.failed} failed" if run.failed else "")),
        (str(len(ahead)), f"times somebody ahead, {sum(i.end_s - i.begin_s for i in ahead):.1f} s"),
        (str(len(log.incidents) - len(ahead)), "faults of camera or model"),
        (f"{total.p50:.0f} ms" if total else "–", f"a frame, 95 % below {total.p95:.0f} ms" if total else "a frame"),
    ]
    return f'<div class="tiles">{"".join(f"<div class=tile><b>{value}</b>{text}</div>" for value, text in tiles)}</div>'


def _incidents(log: DriveLog) -> str:
    if not log.incidents:
        return '<p class="dim">Nobody on the road ahead, and no fault of the camera.</p>'
    pictured = [(item.thumbnail_jpeg, _told(item)) for item in log.incidents if item.thumbnail_jpeg is not None]
    others = [f"<li>{escape(_told(item))}</li>" for item in log.incidents if item.thumbnail_jpeg is None]
    return _views(pictured) + (f"<ul>{''.join(others)}</ul>" if others else "")


def _told(incident: Incident) -> str:
    kind = _NAMES.get(incident.kind, incident.kind.replace("_", " "))
    return f"{clock(incident.begin_s)}  {kind}, {incident.end_s - incident.begin_s:.1f} s"


def _views(views: list[tuple[bytes, str]]) -> str:
    figures = [
        f'<figure><img alt="{escape(text)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
        for jpeg, text in views
    ]
    return f'<div class="views">{"".join(figures)}</div>'


def _shares(log: DriveLog, label_map: LabelMap) -> str:
    means = {second: moment.mean_shares() for second, moment in log.seconds.items() if moment.shares}
    if not means:
        return ""
    overall = {name: sum(mean.get(name, 0.0) for mean in means.values()) / len(means) for name in label_map.names}
    colours = ["#%02x%02x%02x" % colour for colour in display_palette(label_map)]  # noqa: UP031 - shortest for hex
    bands = [(colours[i], {s: mean.get(name, 0.0) for s, mean in means.items()}) for i, name in enumerate(overall)]
    legend = "".join(
        f'<li><i style="background:{colour}"></i>{escape(name)} {share:.1%}</li>'
        for colour, (name, share) in zip(colours, overall.items(), strict=True)
    )
    return _section("Classes, share of the picture", areas(bands, log.end_s) + f"<ul>{legend}</ul>")


def _latency(log: DriveLog, run: RunReport) -> str:
    rows = "".join(
        f"<tr><td>{escape(stage)}</td><td>{p.p50:.1f}</td><td>{p.p95:.1f}</td><td>{p.p99:.1f}</td></tr>"
        for stage, p in run.stages.items()
    )
    seconds = {second: moment.latency_ms / moment.frames for second, moment in log.seconds.items()}
    curve = line(seconds, log.end_s, "ms") if seconds else ""
    table = f"<table><tr><th>stage, ms</th><th>p50</th><th>p95</th><th>p99</th></tr>{rows}</table>"
    return f'<p class="dim">Inference over the drive, mean of each second</p>{curve}{table}'

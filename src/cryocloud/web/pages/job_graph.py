"""The job graph as lines and boxes: layers from left to right, folded like lines of text where the page ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from cryocloud.web.pages.job_words import Source, input_targets, key_number
from cryocloud.web.pages.templatetags.wording import job_title, percent, state_word
from cryocloud.web.runs.models import CONTROL, DOUBTFUL, Job

HEIGHT_PX, ROW_GAP_PX, COLUMN_GAP_PX, LANE_PX = 52, 12, 26, 5
MARGIN_PX = 15
LANES = 5


@dataclass(frozen=True)
class Paper:
    """How many boxes lie beside each other, and how wide they are."""

    columns: int
    box_width_px: int


WIDE, SLIM = Paper(6, 165), Paper(2, 138)


@dataclass(frozen=True)
class Node:
    id: str
    kind: str
    title: str
    sub: str
    state: str
    url: str
    progress: float = 0.0


@dataclass(frozen=True)
class Box:
    node: Node
    x: int
    y: int
    width: int

    @property
    def text_width(self) -> int:
        return self.width - 19

    @property
    def track_width(self) -> int:
        return self.width - 26

    @property
    def filled_width(self) -> int:
        return round(self.track_width * self.node.progress)


@dataclass(frozen=True)
class Edge:
    source: str
    target: str
    path: str


@dataclass(frozen=True)
class Drawing:
    width: int
    height: int
    boxes: list[Box]
    edges: list[Edge]


Links = list[tuple[str, str]]


def graph_of(jobs: Iterable[Job], sources: dict[str, Source]) -> tuple[list[Node], Links]:
    """Nodes and links of the jobs, and of what they read that no job made."""
    ordered = sorted(jobs, key=lambda job: job.number)
    known = {job.pk for job in ordered}
    read: dict[str, Node] = {}
    links: Links = []
    for job in ordered:
        for kind, target in dict.fromkeys(input_targets(job)):
            if kind != "job" and target in sources:
                source = sources[target]
                read[target] = Node(target, "dataset", source.label, kind, "", source.url)
            elif target not in known:
                continue
            links.append((target, job.pk))
    return [*read.values(), *(_job_node(job) for job in ordered)], links


def _job_node(job: Job) -> Node:
    number = f"#{job.number}"
    if job.state == Job.State.RUNNING:
        sub = f"{number} · {percent(job.progress)} %"
    elif job.state in Job.SUCCEEDED:
        # The number of a control, or of a map that nobody should trust, would be read as a result.
        word = state_word(job.standing).lower() if job.standing in (CONTROL, DOUBTFUL) else key_number(job)
        sub = " · ".join(part for part in (number, word) if part)
    else:
        sub = f"{number} · {job.get_state_display()}"
    progress = job.progress if job.state == Job.State.RUNNING else 0.0
    return Node(job.pk, "job", job_title(job.job_type), sub, job.standing, f"/jobs/{job.pk}/", progress)


def draw(nodes: list[Node], links: Links, paper: Paper) -> Drawing:
    """Boxes and lines."""
    columns, box_width = paper.columns, paper.box_width_px
    layers = _layers(nodes, links)
    rows = _rows(nodes, links, layers, columns)
    tops, lanes = _bands(links, layers, rows, columns)
    boxes = {
        node.id: Box(
            node,
            (layers[node.id] % columns) * (box_width + COLUMN_GAP_PX) + MARGIN_PX,
            tops[layers[node.id] // columns] + rows[node.id] * (HEIGHT_PX + ROW_GAP_PX),
            box_width,
        )
        for node in nodes
    }
    edges = []
    for source, target in links:
        one, other = boxes[source], boxes[target]
        band = layers[target] // columns
        if layers[target] == layers[source] + 1 and layers[source] // columns == band:
            path = _curve(one, other)
        else:
            path = _bus(one, other, tops[band] - 8 - LANE_PX * lanes[source, band])
        edges.append(Edge(source, target, path))
    width = max((box.x + box_width for box in boxes.values()), default=0) + MARGIN_PX
    height = max((box.y + HEIGHT_PX for box in boxes.values()), default=0) + 5
    return Drawing(width, height, list(boxes.values()), edges)


def _layers(nodes: list[Node], links: Links) -> dict[str, int]:
    """The longest way from a source; nodes come in an order in which inputs stand before what reads them."""
    before = defaultdict(list)
    for source, target in links:
        before[target].append(source)
    layers: dict[str, int] = {}
    for node in nodes:
        layers[node.id] = max((layers[source] + 1 for source in before[node.id]), default=0)
    return layers


def _rows(nodes: list[Node], links: Links, layers: dict[str, int], columns: int) -> dict[str, int]:
    """Each node on the line of its first input, if that place is free, so that chains are straight."""
    first_input: dict[str, str] = {}
    for source, target in links:
        first_input.setdefault(target, source)
    taken: dict[int, set[int]] = defaultdict(set)
    rows: dict[str, int] = {}
    for node in sorted(nodes, key=lambda node: layers[node.id]):
        layer = layers[node.id]
        source = first_input.get(node.id, "")
        wanted = 0
        if source and layers[source] // columns == layer // columns:
            wanted = rows[source]
        row = next(row for row in range(wanted, len(nodes) + wanted + 1) if row not in taken[layer])
        taken[layer].add(row)
        rows[node.id] = row
    return rows


def _bands(
    links: Links, layers: dict[str, int], rows: dict[str, int], columns: int
) -> tuple[list[int], dict[tuple[str, int], int]]:
    """Where each line of layers begins, and the lane above it that a source's long links take."""
    lanes: dict[tuple[str, int], int] = {}
    used: dict[int, int] = defaultdict(int)
    for source, target in links:
        band = layers[target] // columns
        is_short = layers[target] == layers[source] + 1 and layers[source] // columns == band
        if not is_short and (source, band) not in lanes:
            lanes[source, band] = used[band] % LANES
            used[band] += 1
    depth: dict[int, int] = defaultdict(int)
    for node_id, layer in layers.items():
        depth[layer // columns] = max(depth[layer // columns], rows[node_id] + 1)
    tops, y = [], 5
    for band in range(max(depth, default=0) + 1):
        y += (16 + LANE_PX * min(used[band], LANES)) if used[band] else (ROW_GAP_PX if band else 0)
        tops.append(y)
        y += depth[band] * (HEIGHT_PX + ROW_GAP_PX)
    return tops, lanes


def _curve(one: Box, other: Box) -> str:
    x1, y1 = one.x + one.width, one.y + HEIGHT_PX // 2
    x2, y2 = other.x, other.y + HEIGHT_PX // 2
    middle = (x1 + x2) // 2
    return f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"


def _bus(one: Box, other: Box, lane_y: int) -> str:
    """Out to the gap beside the source, along a lane above the target's line, and in from the left."""
    x1, y1 = one.x + one.width, one.y + HEIGHT_PX // 2
    x2, y2 = other.x, other.y + HEIGHT_PX // 2
    turn = 5
    out_x, in_x = x1 + 9, x2 - 9
    up = turn if lane_y > y1 else -turn
    along = turn if in_x > out_x else -turn
    down = turn if y2 > lane_y else -turn
    return (
        f"M{x1} {y1}H{out_x - turn}Q{out_x} {y1} {out_x} {y1 + up}V{lane_y - up}"
        f"Q{out_x} {lane_y} {out_x + along} {lane_y}H{in_x - along}"
        f"Q{in_x} {lane_y} {in_x} {lane_y + down}V{y2 - down}Q{in_x} {y2} {in_x + turn} {y2}H{x2}"
    )

"""ONNX files that may run without end are refused before anything runs them; reading them so needs no library.

The format is that of Protocol Buffers: tags (field number and wire type), numbers, and lengths with so many bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from deploy.core.errors import WeightsError

LOOPS = frozenset({"Loop", "Scan", "SequenceMap"})
"""Operators that repeat a graph. ONNX Runtime runs them while it loads, too, where their inputs are in the file."""
MOST_NODES = 100_000
"""That a model may have once its functions are written out."""
_GRAPH, _FUNCTIONS = 7, 25  # of ModelProto
_GRAPH_NODE, _FUNCTION_NODE, _FUNCTION_NAME = 1, 7, 1
_OPERATOR, _ATTRIBUTE = 4, 5  # of NodeProto
_INNER_GRAPHS = (6, 11)  # of AttributeProto
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_MOST_VARINT_BYTES = 10


def require_an_end(model: Path | bytes, kind: str, path: Path) -> None:
    """Refuse loops, and functions that call each other so often that a few of them fill any memory.

    A file that is no ONNX is left to the runtime, which says what is wrong with it.

    Args:
        model: the file, or what is in it.
        kind: what it is to be, for messages: "predictor".
        path: what the user gave, for messages.

    Raises:
        WeightsError: it may run for ever.
    """
    data = memoryview(model if isinstance(model, bytes) else model.read_bytes())
    main, functions = _read(data)
    for name, operators in (("", main), *functions.items()):
        for operator in operators:
            if operator in LOOPS:
                where = f" in its function {name}" if name else ""
                raise WeightsError(
                    f"cannot use {path} as a {kind}: it has the operator {operator}{where}, which may run for ever",
                    hint="Export it without loops: for frames of one size, or with the repetition written out.",
                )
    if _num_nodes(main, functions) > MOST_NODES:
        raise WeightsError(
            f"cannot use {path} as a {kind}: its functions call each other more than {MOST_NODES} times",
            hint="Export it without functions.",
        )


def _read(model: memoryview) -> tuple[Counter[str], dict[str, Counter[str]]]:
    """How often each operator is in the graph and in each function, inner graphs included."""
    main, functions = Counter[str](), dict[str, Counter[str]]()
    for number, part in _fields(model):
        if number == _GRAPH:
            _collect(part, _GRAPH_NODE, main)
        elif number == _FUNCTIONS:
            names = [bytes(value).decode("utf-8", "replace") for key, value in _fields(part) if key == _FUNCTION_NAME]
            _collect(part, _FUNCTION_NODE, functions.setdefault(names[-1] if names else "", Counter[str]()))
    return main, functions


def _collect(graph: memoryview, node_field: int, found: Counter[str]) -> None:
    waiting = [(graph, node_field)]  # no recursion: a file may nest as deep as it likes
    while waiting:
        part, number_of_node = waiting.pop()
        for number, node in _fields(part):
            if number != number_of_node:
                continue
            operator = ""
            for key, value in _fields(node):
                if key == _OPERATOR:
                    operator = bytes(value).decode("utf-8", "replace")
                elif key == _ATTRIBUTE:
                    waiting += [(inner, _GRAPH_NODE) for kind, inner in _fields(value) if kind in _INNER_GRAPHS]
            found[operator] += 1


def _num_nodes(main: Counter[str], functions: dict[str, Counter[str]]) -> int:
    """How many nodes there are once functions are written out; more than any limit if one calls itself."""
    calls = {
        name: [operator for operator in operators if operator in functions] for name, operators in functions.items()
    }
    sizes: dict[str, int] = {}
    try:
        for name in TopologicalSorter(calls).static_order():
            sizes[name] = _written_out(functions[name], sizes)
    except CycleError:
        return MOST_NODES + 1
    return _written_out(main, sizes)


def _written_out(operators: Counter[str], sizes: dict[str, int]) -> int:
    """Numbers beyond the limit do not grow any more."""
    return min(MOST_NODES + 1, sum(count * sizes.get(operator, 1) for operator, count in operators.items()))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Field numbers and contents of what has a length; numbers are passed over. Ends where the bytes make no sense."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(message, position)
        elif kind == _EIGHT_BYTES:
            position += 8
        elif kind == _FOUR_BYTES:
            position += 4
        elif kind == _BYTES:
            length, position = _varint(message, position)
            yield (tag & 0xFFFFFFFF) >> 3, message[position : position + length]
            position += length
        # The two kinds left begin and end a group, which runtimes pass over: what is in it counts here as well.


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the position behind it."""
    value = 0
    for place, byte in enumerate(message[position : position + _MOST_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, position + place + 1
    return 0, len(message)

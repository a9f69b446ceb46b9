"""Files as an attacker writes them, and what must hold of a command that reads one.

`FRUGALNAS_FUZZ=2000 pytest tests/test_hostile_*.py` tries so many cases of each kind, new ones in every run, in the
place of the few that are always the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import inspect
import io
import json
import logging
import os
import sys
import typing
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from frugalnas.core import InputError
from tiny import run

LONG = int(os.environ.get("FRUGALNAS_FUZZ", "0"))
HANGS_S = float(os.environ.get("FRUGALNAS_FUZZ_HANGS_S", "300"))  # then the run ends and shows where it was
MARKUP = "</script></style>--><img src=x onerror=alert(1)>\"'"
TERMINAL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2066\r\n\x00\x7f\u2028"


def fuzz(quick: int) -> settings:
    """How a fuzz test runs: `quick` cases that are always the same, or as many new ones as the environment says."""
    return settings(
        max_examples=LONG or quick,
        derandomize=not LONG,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),  # each case is a whole command: making it shorter would take minutes
        suppress_health_check=list(HealthCheck),
    )


# JSON texts that no program of ours writes in such a place; the last ones no JSON library has to read.
TEXTS = (
    *("null", "true", "false", "0", "-1", "1", "3", "0.5", "-0.0", "1e308", "5e-324", "2147483648", "9007199254740993"),
    *("18446744073709551616", "1" + "0" * 400, "-1" + "0" * 400, '""', '"x"', "[]", "{}", "[[]]", '{"a":1}', "[0]"),
    *(json.dumps(MARKUP), json.dumps(TERMINAL), '"\\ud800"', '"%s%n{0}${x}"', '"../../../x"', '"/dev/zero"'),
    *('"' + "x" * 50_000 + '"', "[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300, '["' + '","' * 3000 + '"]'),
    *("NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 5000, "[" * 90_000 + "]" * 90_000),
)
Path_ = tuple[str | int, ...]


def places(tree: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The path to every value in a tree of JSON, the tree itself first."""
    yield path
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from places(value, (*path, key))


@dataclass(frozen=True)
class Change:
    """One change to a tree of JSON: at `path` to put the JSON `text`, "" to take it away, or to say the key twice."""

    path: Path_
    text: str
    twice: bool = False

    def of(self, tree: Any) -> str:
        """The tree as a JSON text, changed."""
        return self._of(tree, self.path)

    def _of(self, tree: Any, path: Path_) -> str:
        if not path:
            return self.text or "null"
        step, rest = path[0], path[1:]
        keyed = isinstance(tree, dict)
        entries = []
        for key, value in tree.items() if keyed else enumerate(tree):
            name = f"{json.dumps(key)}:" if keyed else ""
            if key != step:
                entries.append(name + json.dumps(value))
                continue
            if self.twice or rest or self.text:
                entries.append(name + self._of(value, rest))
            if self.twice and not rest:
                entries.append(name + json.dumps(value))
        return ("{%s}" if keyed else "[%s]") % ",".join(entries)


@st.composite
def changes(draw: st.DrawFn, tree: Any) -> Change:
    path = draw(st.sampled_from([*places(tree)]))
    text = draw(st.sampled_from(["", *TEXTS]) | _json.map(json.dumps))
    return Change(path, text, draw(st.integers(0, 9)) == 0)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def journal_of(bodies: Sequence[str]) -> bytes:
    """The journal of these JSON objects, with the checksums that anybody can compute."""
    lines, checksum = [], 0
    for text in bodies:
        body = text.encode("utf-8", "surrogatepass")
        checksum = zlib.crc32(body, checksum)
        lines.append(body[:-1] + b',"sum":"%08x"}\n' % checksum)
    return b"".join(lines)


def bodies_of(journal: Path) -> list[dict[str, Any]]:
    """The objects of a journal, without their checksums."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "sum"} for line in lines]


@dataclass
class Said:
    """What became of a command."""

    code: int
    out: str
    err: str


@dataclass
class _Watch:
    """What this process did while it was watched: nothing that reading files needs is noted."""

    on: bool = False
    allowed: tuple[str, ...] = ()
    found: list[str] = field(default_factory=list)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and (event in _NEVER or event in _WRITES or event in ("exec", "open")):
            self.on = False  # what it does itself is not watched
            try:
                if self._wrong(event, arguments):
                    self.found.append(f"{event} {arguments!r:.300}")
            finally:
                self.on = True

    def _wrong(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event in _NEVER or event == "exec":
            return not _expected()
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in str(mode or "") for letter in "wax+") or (mode is None and flags & _WRITING)
            return bool(writes) and not self._allows(path)
        return not all(self._allows(path) for path in arguments if isinstance(path, str | bytes | os.PathLike))

    def _allows(self, path: Any) -> bool:
        if isinstance(path, int):
            return True  # a file that is open
        place = os.path.realpath(os.fsdecode(path))
        return place == os.devnull or any(place == root or place.startswith(root + os.sep) for root in self.allowed)


_NEVER = frozenset(
    ("os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class")
) | {"socket.connect", "socket.bind", "socket.getaddrinfo", "webbrowser.open"}
_WRITES = frozenset(
    ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown")
) | {"shutil.rmtree", "shutil.move", "shutil.copyfile"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EXPECTED = (
    "<frozen importlib",
    typing.__file__,
    dataclasses.__file__,
    inspect.__file__,
)  # which run a module, or its own annotations


def _expected() -> bool:
    """Whether code runs because a module is imported, or its annotations are read."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(_EXPECTED):
            return True
        frame = frame.f_back
    return False


_watch: _Watch | None = None


@contextlib.contextmanager
def _watched(allowed: Sequence[Path]) -> Iterator[_Watch]:
    global _watch
    if _watch is None:
        _watch = _Watch()
        sys.addaudithook(_watch)  # there is no way to take it off again
    _watch.allowed, _watch.found, _watch.on = tuple(os.path.realpath(path) for path in allowed), [], True
    try:
        yield _watch
    finally:
        _watch.on = False


@contextlib.contextmanager
def _logged() -> Iterator[io.StringIO]:
    """What the package logs, as the command line would print it."""
    text, log = io.StringIO(), logging.getLogger("frugalnas")
    stream = logging.StreamHandler(text)
    log.addHandler(stream)
    try:
        yield text
    finally:
        log.removeHandler(stream)


def calm(*arguments: object, writes: Sequence[Path] = (), codes: Sequence[int] = (0, 1, 2, 3)) -> Said:
    """Run a command and see that it succeeds, or ends in one line; that it writes in `writes` only and runs nothing.

    Nothing that it prints has a character that a terminal acts on.
    """
    out, err = io.StringIO(), io.StringIO()
    faulthandler.dump_traceback_later(HANGS_S, exit=True)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _logged() as log, _watched(writes) as it:
            code = run(*arguments)
    finally:
        faulthandler.cancel_dump_traceback_later()
    said = Said(code, out.getvalue(), err.getvalue())
    assert it.found == [], str(it.found)[:2000]
    assert code in codes, str(said)[:2000]
    if code == 2 and said.err:
        assert said.err.startswith("frugalnas: ") and said.err.count("\n") == 1, said.err[:2000]
        assert len(said.err) < 5000, said.err[:2000]
    for text in (said.out, said.err, log.getvalue()):
        assert text.replace("\n", "").isprintable(), ascii(text)[:2000]
    return said


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, Mapping[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def inert(page: str) -> None:
    """See that a page has no element that our markup alone would not have made."""
    parser = _Tags()
    parser.feed(page)
    assert "img" not in {tag for tag, _ in parser.tags}
    assert not [name for _, attributes in parser.tags for name in attributes if name.startswith("on")]
    links = [words for _, attributes in parser.tags if (words := attributes.get("href"))]
    assert not [words for words in links if words.strip().lower().startswith(("javascript:", "data:"))]
    assert "<img src=x" not in page


def soft(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function makes of a file, None where it refuses it as it should: with an InputError of one line."""
    with _watched([]) as it:
        try:
            found = function(*arguments)
        except InputError as error:
            assert str(error), "a complaint without words"
            found = None
    assert it.found == [], str(it.found)[:2000]
    return found


def tensor_files(good: bytes, texts: Sequence[str] = ()) -> st.SearchStrategy[bytes]:
    """A `.safetensors` file made from a good one: bytes, its header, or the JSON that it holds as text, changed.

    `texts`: the keys of its metadata that hold JSON.
    """
    return _tensor_files(_Good(good), tuple(texts))


class _Good(bytes):
    def __repr__(self) -> str:
        return "a good file"


@st.composite
def _tensor_files(draw: st.DrawFn, good: _Good, texts: Sequence[str]) -> bytes:
    size = int.from_bytes(good[:8], "little")
    header, data = json.loads(good[8 : 8 + size]), good[8 + size :]
    what = draw(st.sampled_from(["bytes", "header", "length", "cut", *(["text"] * 3 if texts else [])]))
    if what == "bytes":
        changed = bytearray(good)
        for _ in range(draw(st.integers(1, 5))):
            changed[draw(st.integers(0, len(good) - 1))] = draw(st.integers(0, 255))
        return bytes(changed)
    if what == "length":
        return draw(st.integers(0, 2**64 - 1)).to_bytes(8, "little") + good[8:]
    if what == "cut":
        return good[: draw(st.integers(0, len(good) - 1))]
    if what == "text":
        key = draw(st.sampled_from(list(texts)))
        tree = json.loads(header["__metadata__"][key])
        header["__metadata__"][key] = draw(changes(tree)).of(tree)
        text = json.dumps(header)
    else:
        text = draw(changes(header)).of(header)
    content = text.encode("utf-8", "surrogatepass")
    return len(content).to_bytes(8, "little") + content + data

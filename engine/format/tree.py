"""Trees: the nodes of one directory as JSON, byte for byte as restic writes them, since a tree's bytes make its identifier.

`{"nodes":[...]}` and a newline; nodes in strictly ascending order of their raw names. A node's fields in order: name, type, mode, mtime,
atime, ctime, uid, gid, user, group, inode, device_id, size, links, linktarget, linktarget_raw, extended_attributes, generic_attributes,
device, content, subtree, error; empty ones are left out but for the times, uid, gid and content, which is null for all but files.
restic 0.14 knows no linktarget_raw; everything else is the same in 0.14 and 0.19. Source: restic internal/data/node.go, tree.go.

Nodes of a listing are written in two halves, because a listing knows all up to the link's target, and the rest comes later or not at all:
`node_prefix` and `node_suffix` (node_text.py). An unchanged file is one whose prefix begins its node in the parent's tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from engine.errors import DamagedError
from engine.format import names, strict_json
from engine.format.ids import Buffer, parse_id
from engine.format.node_text import go_mode, link_target, node_prefix, node_suffix, unix_mode

TYPES: Final = frozenset(("file", "dir", "symlink", "dev", "chardev", "fifo", "socket"))

json_string = strict_json.quote
quote_name = names.quote
unquote_name = names.unquote

_IMPOSSIBLE_NAMES: Final = frozenset((b"", b".", b".."))
_ZERO_TIME: Final = "0001-01-01T00:00:00Z"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(slots=True)
class Node:
    """One file, directory, link or device in a tree."""

    name: bytes
    """As the file system has it, unquoted."""
    type: str
    """One of TYPES."""
    mode: int = 0
    """Go's FileMode, not st_mode: see `go_mode`."""
    mtime: str = _ZERO_TIME
    """RFC 3339 with up to nine digits of fraction, as are atime and ctime."""
    atime: str = _ZERO_TIME
    ctime: str = _ZERO_TIME
    uid: int = 0
    gid: int = 0
    user: bytes = b""
    group: bytes = b""
    inode: int = 0
    device_id: int = 0
    """Of the file system that it lies on; restic writes it for every node."""
    size: int = 0
    links: int = 0
    linktarget: bytes = b""
    extended_attributes: tuple[tuple[bytes, bytes], ...] = ()
    device: int = 0
    """Of a device: st_rdev."""
    content: tuple[bytes, ...] | None = None
    """Identifiers of a file's blobs; None for all but files."""
    subtree: bytes | None = None
    """Identifier of a directory's tree."""
    error: str = ""
    generic_attributes: bytes = b""
    """JSON as it was read: what restic keeps of Windows files."""


class _AttributeJson(msgspec.Struct):
    name: str
    value: bytes | None = None


class _NodeJson(msgspec.Struct):
    name: str
    type: str
    mode: int = 0
    mtime: str = _ZERO_TIME
    atime: str = _ZERO_TIME
    ctime: str = _ZERO_TIME
    uid: int = 0
    gid: int = 0
    user: str = ""
    group: str = ""
    inode: int = 0
    device_id: int = 0
    size: int = 0
    links: int = 0
    linktarget: str = ""
    linktarget_raw: bytes | None = None
    extended_attributes: list[_AttributeJson] | None = None
    generic_attributes: msgspec.Raw = msgspec.Raw()
    device: int = 0
    content: list[str] | None = None
    subtree: str | None = None
    error: str = ""


class _TreeJson(msgspec.Struct):
    nodes: list[_NodeJson] | None = None


_DECODER: Final = msgspec.json.Decoder(_TreeJson)


def encode_node(node: Node) -> bytes:
    """The node's JSON."""
    parts = [b'{"name":%b,"type":%b' % (json_string(quote_name(node.name)), json_string(node.type.encode()))]
    if node.mode:
        parts.append(b',"mode":%d' % node.mode)
    times = (node.mtime.encode(), node.atime.encode(), node.ctime.encode())
    parts.append(b',"mtime":"%b","atime":"%b","ctime":"%b"' % times)
    parts.append(b',"uid":%d,"gid":%d' % (node.uid, node.gid))
    for name, text in ((b"user", node.user), (b"group", node.group)):
        if text:
            parts.append(b',"%b":%b' % (name, json_string(text)))
    numbers = (
        (b"inode", node.inode),
        (b"device_id", node.device_id),
        (b"size", node.size),
        (b"links", node.links),
    )
    parts += [b',"%b":%d' % (name, number) for name, number in numbers if number]
    parts.append(link_target(node.linktarget))
    parts.append(
        node_suffix(
            node.extended_attributes,
            node.device,
            node.content,
            node.subtree,
            error=node.error.encode(),
            generic=node.generic_attributes,
        )
    )
    return b"".join(parts)


def encode_tree(nodes_json: Iterable[bytes]) -> bytes:
    """The tree blob of nodes that are in order already."""
    return b'{"nodes":[%b]}\n' % b",".join(nodes_json)


def decode_tree(blob: Buffer, *, strict: bool = True) -> list[Node]:
    """The nodes of a tree of any origin.

    With `strict`, everything that restic's checker or its restore refuses is refused. Without it, only what cannot be made sense of is; a
    name that leads out of its directory is refused always.

    Raises:
        DamagedError: see above.
    """
    nodes = [_node(parsed) for parsed in strict_json.decode(_DECODER, blob, "tree").nodes or ()]
    for node in nodes:
        name = node.name
        if name in _IMPOSSIBLE_NAMES or b"/" in name or b"\0" in name:
            raise DamagedError(f"a tree holds the impossible name {name[:80]!r}")
    if strict:
        previous = b""
        for node in nodes:
            if node.name <= previous:
                raise DamagedError(f"a tree's nodes are not in order at {node.name[:80]!r}")
            previous = node.name
            _check(node)
    return nodes


def _node(parsed: _NodeJson) -> Node:
    target = parsed.linktarget_raw or parsed.linktarget.encode("utf-8", "surrogatepass")
    attributes: tuple[tuple[bytes, bytes], ...] = ()
    if parsed.extended_attributes:
        attributes = tuple(
            (attribute.name.encode("utf-8", "surrogatepass"), attribute.value or b"")
            for attribute in parsed.extended_attributes
        )
    return Node(
        names.unquote(parsed.name),
        parsed.type,
        parsed.mode,
        parsed.mtime,
        parsed.atime,
        parsed.ctime,
        parsed.uid,
        parsed.gid,
        parsed.user.encode("utf-8", "surrogatepass"),
        parsed.group.encode("utf-8", "surrogatepass"),
        parsed.inode,
        parsed.device_id,
        parsed.size,
        parsed.links,
        target,
        attributes,
        parsed.device,
        None if parsed.content is None else tuple(map(parse_id, parsed.content)),
        parse_id(parsed.subtree) if parsed.subtree else None,
        parsed.error,
        bytes(parsed.generic_attributes),
    )


def _check(node: Node) -> None:
    shown = repr(node.name[:80])
    if node.type not in TYPES:
        raise DamagedError(f"a tree holds {shown} of the unknown type {node.type[:20]!r}")
    if node.type == "file" and node.content is None:
        raise DamagedError(f"the file {shown} has no list of its content")
    if node.type == "dir" and node.subtree is None:
        raise DamagedError(f"the directory {shown} has no tree")
    if min(node.mode, node.uid, node.gid, node.inode, node.device_id, node.size, node.links, node.device) < 0:
        raise DamagedError(f"a number of {shown} is below zero")
    for text in {node.mtime, node.atime, node.ctime}:
        if _TIME.fullmatch(text) is None:
            raise DamagedError(f"a time of {shown} is not one: {text[:60]!r}")


def split_nodes(blob: bytes) -> Sequence[bytes]:
    """The JSON of each node of a tree that is known to be whole, without parsing it.

    `},{"name":"` stands between nodes, and within a node only between extended attributes, whose name is followed by a value.
    A tree of another shape (no known program writes one) is parsed and its nodes written anew.

    Raises:
        DamagedError: the tree has another shape and does not parse.
    """
    begin, end = b'{"nodes":[{"name":"', b"}]}\n"
    if not (blob.startswith(begin) and blob.endswith(end)):
        return [encode_node(node) for node in decode_tree(blob, strict=False)]
    pieces = blob[len(begin) : -len(end)].split(b'},{"name":"')
    if b'"extended_attributes":[' in blob:
        pieces = _join_attributes(pieces)
    return [b'{"name":"%b}' % piece for piece in pieces]


_NODE_BEGIN: Final = re.compile(rb'(?:[^"\\]|\\.)*","type":', re.DOTALL)


def _join_attributes(pieces: Sequence[bytes]) -> list[bytes]:
    """Put nodes together that were split between two of their attributes."""
    nodes: list[bytes] = []
    for piece in pieces:
        if nodes and _NODE_BEGIN.match(piece) is None:
            nodes[-1] = b'%b},{"name":"%b' % (nodes[-1], piece)
        else:
            nodes.append(piece)
    return nodes


__all__ = [
    "TYPES",
    "Node",
    "decode_tree",
    "encode_node",
    "encode_tree",
    "go_mode",
    "json_string",
    "node_prefix",
    "node_suffix",
    "quote_name",
    "split_nodes",
    "unix_mode",
    "unquote_name",
]

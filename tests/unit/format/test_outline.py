"""Trees in outline."""

from __future__ import annotations

import pytest

from engine.errors import DamagedError
from engine.format import names, outline, tree
from engine.format.tree import Node


def test_an_outline_tells_what_a_walk_needs() -> None:
    """A restore goes by it, and must come to the same files as by whole nodes."""
    file = Node(b"a\xff", "file", 0o644, size=3, links=2, inode=7, device_id=8, content=(bytes(32),))
    folder = Node(b"b", "dir", subtree=bytes(range(32)))
    first, second = outline.decode_outline(tree.encode_tree(map(tree.encode_node, (file, folder))))
    assert names.unquote(first.name) == b"a\xff"
    assert (first.type, first.size, first.links, first.inode, first.device_id) == ("file", 3, 2, 7, 8)
    assert bytes(first.content) == b'["%b"]' % (b"00" * 32)
    assert (second.type, bytes(second.content), second.subtree) == ("dir", b"null", bytes(range(32)).hex())


def test_a_tree_of_nothing_has_no_outlines() -> None:
    """Go writes null for an empty list."""
    assert outline.decode_outline(b'{"nodes":null}') == []


@pytest.mark.parametrize(
    "blob", [b"", b"[]", b'{"nodes":[{"type":"dir"}]}', b'{"nodes":[{"name":"a","x":' + b"[" * 100_000]
)
def test_what_is_no_tree_has_no_outline(blob: bytes) -> None:
    """Depth, cuts and wrong types alike."""
    with pytest.raises(DamagedError):
        outline.decode_outline(blob)

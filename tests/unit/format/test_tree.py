"""Trees: byte for byte what restic writes, and what a hostile one may not do."""

from __future__ import annotations

import base64

import pytest

from engine.errors import DamagedError
from engine.format import names, node_text, strict_json, tree
from engine.format.tree import Node
from engine.model.entry import Entry

TIME = "2026-11-21T07:22:16.32282853Z"
ID = bytes(range(32))

FULL = Node(
    name=b"a\xff<\n",
    type="file",
    mode=0o644,
    mtime=TIME,
    atime=TIME,
    ctime=TIME,
    uid=1,
    gid=2,
    user=b"daemon",
    group=b"bi&n",
    inode=3,
    device_id=4,
    size=5,
    links=6,
    extended_attributes=((b"user.<", b"\0\xff"), (b"user.empty", b"")),
    content=(ID, bytes(32)),
    error="bad",
    generic_attributes=b'{"windows.x":1}',
)
FULL_JSON = (
    b'{"name":"a\\\\xff\\u003c\\\\n","type":"file","mode":420,"mtime":"%b","atime":"%b","ctime":"%b","uid":1,"gid":2,"user":"daemon",'
    b'"group":"bi\\u0026n","inode":3,"device_id":4,"size":5,"links":6,"extended_attributes":[{"name":"user.\\u003c","value":"AP8="},'
    b'{"name":"user.empty","value":""}],"generic_attributes":{"windows.x":1},"content":["%b","%b"],"error":"bad"}'
) % (TIME.encode(), TIME.encode(), TIME.encode(), ID.hex().encode(), b"00" * 32)

LINK = Node(b"link", "symlink", 1 << 27 | 0o777, TIME, TIME, TIME, linktarget=b"to \xff", links=1)
FOLDER = Node(b"sub", "dir", 1 << 31 | 0o755, TIME, TIME, TIME, subtree=ID)
DEVICE = Node(b"tty", "chardev", 1 << 26 | 1 << 21, TIME, TIME, TIME, device=1025)
EMPTY = Node(b"zero", "file", 0, TIME, TIME, TIME, content=())


def blob_of(*nodes: Node) -> bytes:
    """A tree of these."""
    return tree.encode_tree(map(tree.encode_node, nodes))


def entry(path: bytes, letter: str = "f", **fields: object) -> Entry:
    """An entry of a listing."""
    plain = Entry(
        path,
        letter,
        0o644,
        0,
        0,
        b"root",
        b"root",
        1,
        b"1700000000.1234567890",
        b"1700000000.5",
        11,
        22,
        1,
        b"",
    )
    return plain._replace(**fields)  # type: ignore[arg-type]


def test_a_node_is_written_as_restic_writes_it() -> None:
    """A tree's bytes are its identifier: another spelling is another tree."""
    assert tree.encode_node(FULL) == FULL_JSON


def test_a_tree_reads_back_as_it_was_written() -> None:
    """Restores read it."""
    nodes = [FULL, LINK, FOLDER, DEVICE, EMPTY]
    assert tree.decode_tree(blob_of(*nodes)) == nodes


def test_a_tree_of_nothing_reads_back() -> None:
    """Empty directories are backed up too."""
    assert blob_of() == b'{"nodes":[]}\n'
    assert tree.decode_tree(blob_of()) == tree.decode_tree(b'{"nodes":null}') == []
    assert list(tree.split_nodes(blob_of())) == []


@pytest.mark.parametrize(
    ("letter", "mode", "go"),
    [
        ("f", 0o4755, 1 << 23 | 0o755),
        ("d", 0o1777, 1 << 31 | 1 << 20 | 0o777),
        ("f", 0o2711, 1 << 22 | 0o711),
        ("l", 0o777, 1 << 27 | 0o777),
        ("p", 0o644, 1 << 25 | 0o644),
        ("s", 0o755, 1 << 24 | 0o755),
        ("c", 0o666, 1 << 26 | 1 << 21 | 0o666),
        ("b", 0o7660, 1 << 26 | 0b1101 << 20 | 0o660),
    ],
)
def test_a_mode_becomes_gos_and_comes_back(letter: str, mode: int, go: int) -> None:
    """With st_mode's bits in their place restic would silently drop set-user."""
    assert tree.go_mode(letter, mode) == go
    assert tree.unix_mode(go) == mode


@pytest.mark.parametrize(
    ("text", "json"),
    [
        (b"plain \x7f", b'"plain \x7f"'),
        (b'<a href="x">&\\', b'"\\u003ca href=\\"x\\"\\u003e\\u0026\\\\"'),
        (b"\n\r\t\b\f\0\x1f", b'"\\n\\r\\t\\b\\f\\u0000\\u001f"'),
        ("ä\u2028\u2029\U0001f600".encode(), '"ä\\u2028\\u2029\U0001f600"'.encode()),
        (b"\xff\xe2\x82x", b'"\\ufffd\\ufffd\\ufffdx"'),
        ("\ufffd".encode(), '"\ufffd"'.encode()),
    ],
)
def test_json_text_is_escaped_as_go_escapes_it(text: bytes, json: bytes) -> None:
    """Link targets and owners appear so in restic's trees."""
    assert strict_json.quote(text) == json


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        (b"plain'%41", b"plain'%41"),
        (b'q"\\', b'q\\"\\\\'),
        (b"\a\b\f\n\r\t\v\0\x1b\x7f", b"\\a\\b\\f\\n\\r\\t\\v\\x00\\x1b\\x7f"),
        (b"\xff\xe2\x82", b"\\xff\\xe2\\x82"),
        ("zwj\u200d\u00ad\u00a0\u2028\ue000".encode(), b"zwj\\u200d\\u00ad\\u00a0\\u2028\\ue000"),
        ("ä\u0301\U0001f600\ufffd".encode(), "ä\u0301\U0001f600\ufffd".encode()),
        ("\U0001e4d0\U000e0001".encode(), "\U0001e4d0\\U000e0001".encode()),
        (b"\xed\xa0\x80", b"\\xed\\xa0\\x80"),
    ],
)
def test_a_name_is_quoted_as_go_quotes_it_and_comes_back(name: bytes, quoted: bytes) -> None:
    """Any bytes are a file name somewhere."""
    assert names.quote(name) == quoted
    assert names.unquote(quoted.decode()) == name


@pytest.mark.parametrize(
    ("text", "name"), [("\\101\\'", b"A'"), ("\\U0001F600", "\U0001f600".encode()), ("\\XFF\\xFf", None)]
)
def test_escapes_that_restic_does_not_write_are_read_as_go_reads_them(text: str, name: bytes | None) -> None:
    """Other writers may use them."""
    if name is None:
        with pytest.raises(DamagedError):
            names.unquote(text)
    else:
        assert names.unquote(text) == name


@pytest.mark.parametrize(
    "text",
    ["\\", "x\\", "\\q", "\\x4", "\\u12", "\\ud800", "\\U00110000", "\\400", "\\8", "\udc80", "\\n\ud800"],
)
def test_an_escape_that_means_nothing_is_refused(text: str) -> None:
    """A guess would be another file's name."""
    with pytest.raises(DamagedError):
        names.unquote(text)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (b"0.0000000000", b"1970-01-01T00:00:00Z"),
        (b"-1.5000000000", b"1969-12-31T23:59:59.5Z"),
        (b"1700000000.1234567890", b"2023-11-14T22:13:20.123456789Z"),
        (b"1700000000", b"2023-11-14T22:13:20Z"),
        (b"2200000000.000000001", b"2039-09-18T23:06:40.000000001Z"),
        (b"-62135596800.0", b"0001-01-01T00:00:00Z"),
        (b"-62135596801.0", b"0000-12-31T23:59:59Z"),
        (b"-62167219200.0", b"0000-01-01T00:00:00Z"),
        (b"-99999999999999.0", b"0000-01-01T00:00:00Z"),
        (b"253402300799.9", b"9999-12-31T23:59:59.9Z"),
        (b"9223372036854775807.0", b"9999-12-31T23:59:59Z"),
    ],
)
def test_times_are_written_as_go_writes_them(instant: bytes, text: bytes) -> None:
    """A time cut short means that every file counts as changed."""
    assert node_text.time_text(instant) == text


def prefix_and_suffix(listed: Entry, node: Node) -> bytes:
    """The node in its two halves."""
    return tree.node_prefix(listed) + tree.node_suffix(
        node.extended_attributes, node.device, node.content, node.subtree
    )


@pytest.mark.parametrize(
    "listed",
    [
        entry(b"home/user/file"),
        entry(b"file\xff", size=0),
        entry(b"file", mode=0, inode=0, device=0, links=0, uid=4242, user=b"", group=b""),
        entry(b"a/dir", "d", size=4096, links=7),
        entry(b"link", "l", size=7, target=b"to <\xff>"),
        entry(b"link", "l", size=0, target=b""),
        entry(b"fifo", "p", links=2),
        entry(b"socket", "s"),
        entry(b"tty", "c", size=0),
        entry(b"disk", "b", mode=0o7777),
        entry(b"same", ctime=b"1700000000.1234567890"),
    ],
    ids=lambda listed: listed.type + listed.path.decode(errors="replace"),
)
def test_a_node_in_two_halves_is_the_same_node(listed: Entry) -> None:
    """Halves are compared with trees that were written whole."""
    kinds = {"f": "file", "d": "dir", "l": "symlink", "p": "fifo", "s": "socket", "c": "chardev", "b": "dev"}
    modified = node_text.time_text(listed.mtime).decode()
    node = Node(
        listed.path.rpartition(b"/")[2],
        kinds[listed.type],
        tree.go_mode(listed.type, listed.mode),
        modified,
        modified,
        node_text.time_text(listed.ctime).decode(),
        listed.uid,
        listed.gid,
        listed.user,
        listed.group,
        listed.inode,
        listed.device,
        listed.size if listed.type == "f" else 0,
        listed.links if listed.type in "flcb" else 0,
        listed.target,
        ((b"user.a", b"1"),),
        7 if listed.type in "cb" else 0,
        (ID,) if listed.type == "f" else None,
        ID if listed.type == "d" else None,
    )
    assert prefix_and_suffix(listed, node) == tree.encode_node(node)


def test_a_tree_is_split_where_its_nodes_are() -> None:
    """Attributes look like nodes, and names may look like anything."""
    tricky = Node(
        b'b"},{"name":"x","type":"',
        "file",
        content=(),
        extended_attributes=((b'"},{"name":"', b"x"), (b'","type":', b"y")),
    )
    nodes = [FULL, tricky, LINK, FOLDER]
    for chosen in (nodes, nodes[2:]):
        assert list(tree.split_nodes(blob_of(*chosen))) == [tree.encode_node(node) for node in chosen]


def test_a_tree_of_another_shape_is_split_all_the_same() -> None:
    """JSON allows spaces, and then nodes are written anew."""
    spaced = blob_of(LINK).replace(b'"nodes":[', b'"nodes": [')
    assert list(tree.split_nodes(spaced)) == [tree.encode_node(LINK)]
    with pytest.raises(DamagedError):
        tree.split_nodes(b'{"nodes": [x]}')


@pytest.mark.parametrize("name", [b"", b"a/b", b"/", b"..", b".", b"a\0b"])
@pytest.mark.parametrize("strict", [True, False])
def test_a_name_that_leads_elsewhere_is_refused_always(name: bytes, strict: bool) -> None:
    """A hostile repository must not write outside of the restore's target."""
    with pytest.raises(DamagedError, match="impossible name"):
        tree.decode_tree(blob_of(Node(name, "file", content=())), strict=strict)


def changed(**fields: object) -> Node:
    """FULL with something wrong about it."""
    values = {name: getattr(FULL, name) for name in Node.__slots__}
    return Node(**{**values, **fields})


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([LINK, FULL], "not in order"),
        ([LINK, LINK], "not in order"),
        ([changed(type="irregular")], "unknown type"),
        ([changed(content=None)], "no list of its content"),
        ([changed(type="dir")], "has no tree"),
        ([changed(size=-1)], "below zero"),
        ([changed(mtime="yesterday")], "a time of"),
        ([changed(ctime="2026-11-21 07:22:16Z")], "a time of"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_restic_refuses_is_refused_unless_tolerated(nodes: list[Node], said: str) -> None:
    """The check finds it; a restore takes what it can get."""
    with pytest.raises(DamagedError, match=said):
        tree.decode_tree(blob_of(*nodes))
    assert tree.decode_tree(blob_of(*nodes), strict=False) == nodes


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"[]",
        b'{"nodes":[{"type":"file"}]}',
        b'{"nodes":[{"name":1,"type":"file"}]}',
        b'{"nodes":[{"name":"a","type":"file","content":["zz"]}]}',
        b'{"nodes":[{"name":"a","type":"dir","subtree":"zz"}]}',
        b'{"nodes":[{"name":"a","type":"file","x":' + b"[" * 100_000,
        b'{"nodes":[{"name":"\\ud800","type":"file"}]}',
        b'{"nodes":[{"name":"a","type":"symlink","linktarget_raw":"?"}]}',
        b'{"nodes":[{"name":"a","type":"file","size":1e400}]}',
        b'{"nodes":[{"name":"\xff","type":"file"}]}',
    ],
)
def test_what_is_no_tree_is_refused(blob: bytes) -> None:
    """Depth, cuts and wrong types alike."""
    with pytest.raises(DamagedError):
        tree.decode_tree(blob, strict=False)


def test_an_attribute_without_a_value_is_an_empty_one() -> None:
    """Go writes null for it."""
    blob = b'{"nodes":[{"name":"a","type":"fifo","extended_attributes":[{"name":"user.x","value":null}]}]}'
    assert tree.decode_tree(blob)[0].extended_attributes == ((b"user.x", b""),)


def test_the_raw_target_of_a_link_is_the_true_one() -> None:
    """The readable one has lost what is not UTF-8."""
    assert tree.encode_node(LINK).endswith(
        b'"linktarget":"to \\ufffd","linktarget_raw":"%b","content":null}' % base64.b64encode(b"to \xff")
    )

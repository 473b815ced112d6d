"""A tree with everything in it that file systems allow and backup programs lose."""

# Path cannot hold names that are no text.
# ruff: noqa: PTH101, PTH102, PTH123, PTH211
# Permissive modes are what is tested.
# ruff: noqa: S103

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

LEVELS = 40
"""How deep the deepest folder lies."""
SPARSE_BYTES = 8 << 20
LONG_BYTES = 3 << 20
"""Longer than the 512 KiB from which files are cut into several blobs."""

NAMES: tuple[bytes, ...] = (
    b"plain.txt",
    b"not-utf8-\xff\xfe\x80",
    b"latin1-caf\xe9",
    b"half-\xe2\x82",
    b"new\nline",
    b"tab\tbed",
    b"carriage\rreturn",
    b"bell\x07 escape\x1b delete\x7f form\x0c back\x08",
    b'double"quote',
    b"single'quote",
    b"back\\slash",
    b"trailing\\",
    b"\\x41 looks escaped \\n",
    b"<less> & \\u003cmore\\u003e",
    "line\u2028separator\u2029".encode(),
    "zero\u200bwidth\ufeff\u00ad".encode(),
    "\U0001f469\u200d\U0001f680 emoji".encode(),
    "combining e\u0301 a\u0308".encode(),
    "composed \u00e9 \u00e4".encode(),
    "\ufffd replacement".encode(),
    "right\u202eleft".encode(),
    "no\u00a0break".encode(),
    "\U000e0001 tag".encode(),
    b"L" * 255,
    ("\u00fc" * 127).encode() + b"x",
    b"-leading-dash",
    b"--",
    b"-rf",
    b" leading space",
    b"trailing space ",
    b"trailing.dot.",
    b"...",
    b"..x",
    b"~",
    b"*",
    b"?[a-z]",
    b"$HOME `id` $(id)",
    b"%s%n%00",
    b"#hash",
    b"!bang",
    b"{brace,s}",
    b"semi;colon|pipe",
    b"C:",
    b"a:b",
    b"CON",
    b"sub-b",
    b"sub.c",
    b"sub",
)
"""Names for a file each. `sub-b`, `sub.c` and `sub` sort differently as bytes than as paths."""

TIMES_NS: tuple[tuple[bytes, int], ...] = (
    (b"epoch", 0),
    (b"before-epoch", -1),
    (b"nanosecond", 1),
    (b"1960", -315619200_000000001),
    (b"1902", -2145916800_500000000),
    (b"trailing-zeros", 1_600_000_000_100_000_000),
    (b"all-digits", 1_600_000_000_123_456_789),
    (b"2038-over", 2_147_483_648_000_000_001),
    (b"2100", 4_102_444_800_999_999_999),
    (b"2250", 8_835_955_200_000_000_001),
)
"""What ext4 holds in inodes of 256 bytes (1901 to 2446) and restic restores (up to 2262)."""

MODES: tuple[int, ...] = (0o000, 0o400, 0o644, 0o755, 0o777, 0o4755, 0o2755, 0o1644, 0o7777, 0o6000)


def make_nasty_tree(root: Path, *, has_odd_link_targets: bool = True) -> None:
    """Makes the tree below `root`, which is made too. Needs root's rights, and a file system with ACLs and user xattrs.

    Without `has_odd_link_targets` no link's target is other than UTF-8: restic before 0.16 loses such bytes.
    """
    base = os.fsencode(root)
    root.mkdir(parents=True)
    _names(base + b"/names")
    _modes(base + b"/modes")
    _owners(base + b"/owners")
    _attributes(base + b"/attributes")
    _links(base + b"/links", has_odd_link_targets=has_odd_link_targets)
    _devices(base + b"/devices")
    _contents(base + b"/contents")
    _deep(base + b"/deep")
    _times(base + b"/times")
    os.utime(base, ns=(1_500_000_000_000_000_007, 1_500_000_000_000_000_007))


def _write(path: bytes, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def _names(base: bytes) -> None:
    os.mkdir(base)
    for name in NAMES:
        _write(base + b"/" + name, b"I am called " + name)
    os.mkdir(base + b"/folders")
    for name in NAMES:
        os.mkdir(base + b"/folders/" + name)
        _write(base + b"/folders/" + name + b"/inner", name)


def _modes(base: bytes) -> None:
    os.mkdir(base)
    for mode in MODES:
        _write(base + b"/file-%05o" % mode, b"%o" % mode)
        os.chmod(base + b"/file-%05o" % mode, mode)
        os.mkdir(base + b"/folder-%05o" % mode)
        _write(base + b"/folder-%05o/inner" % mode, b"inner")
        os.chmod(base + b"/folder-%05o" % mode, mode)


def _owners(base: bytes) -> None:
    os.mkdir(base)
    for name, uid, gid in (
        (b"daemon", 1, 1),
        (b"nobody", 65534, 65534),
        (b"unknown", 54321, 98765),
        (b"big", 4_000_000_000, 4_000_000_001),
    ):
        _write(base + b"/" + name, name)
        os.chown(base + b"/" + name, uid, gid)
        os.chmod(base + b"/" + name, 0o6711)
        os.mkdir(base + b"/folder-" + name)
        os.chown(base + b"/folder-" + name, uid, gid)
        os.chmod(base + b"/folder-" + name, 0o2750)
        os.symlink(b"nowhere", base + b"/link-" + name)
        os.chown(base + b"/link-" + name, uid, gid, follow_symlinks=False)


def posix_acl(user: int, *, mask: int = 7) -> bytes:
    """The value of a system.posix_acl_* attribute that lets one more user read and write. Source: linux/posix_acl_xattr.h, version 2."""
    nobody = 0xFFFFFFFF
    entries = ((0x01, 7, nobody), (0x02, 6, user), (0x04, 5, nobody), (0x10, mask, nobody), (0x20, 0, nobody))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def _attributes(base: bytes) -> None:
    os.mkdir(base)
    _write(base + b"/user", b"has attributes")
    os.setxattr(base + b"/user", b"user.plain", b"value")
    os.setxattr(base + b"/user", b"user.binary", bytes(range(256)))
    os.setxattr(base + b"/user", b"user.empty", b"")
    os.setxattr(base + b"/user", "user.\u00fcml".encode(), b"name beyond ASCII")
    _write(base + b"/acl", b"has an ACL")
    os.setxattr(base + b"/acl", b"system.posix_acl_access", posix_acl(12345))
    os.mkdir(base + b"/folder")
    os.setxattr(base + b"/folder", b"user.on-folder", b"yes")
    os.setxattr(base + b"/folder", b"system.posix_acl_access", posix_acl(1))
    os.setxattr(base + b"/folder", b"system.posix_acl_default", posix_acl(54321, mask=4))
    _write(base + b"/folder/inherits", b"made below a default ACL")
    os.chmod(base + b"/acl", 0o4770)
    _write(base + b"/capable", b"#!/bin/true")
    os.setxattr(
        base + b"/capable", b"security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    )


def _links(base: bytes, *, has_odd_link_targets: bool) -> None:
    os.mkdir(base)
    os.mkdir(base + b"/other")
    _write(base + b"/one", b"one content, three names")
    os.link(base + b"/one", base + b"/two")
    os.link(base + b"/one", base + b"/other/three")
    _write(base + b"/long", random.Random(7).randbytes(LONG_BYTES))
    os.link(base + b"/long", base + b"/other/long")
    _write(base + b"/empty", b"")
    os.link(base + b"/empty", base + b"/other/empty")
    _write(base + b"/same-as-one", b"one content, three names")
    targets = [
        (b"relative", b"other/three"),
        (b"dangling", b"no/such/file"),
        (b"absolute", b"/etc/passwd"),
        (b"up", b"../../../../.."),
        (b"self", b"self"),
        (b"to-folder", b"other/"),
        (b"odd", 'new\nline <&> \u2028 "quoted" back\\slash \u00e9'.encode()),
        (b"long-target", b"x/" * 2000),
        (b"\xff link", b"other"),
    ]
    if has_odd_link_targets:
        targets += [(b"not-utf8", b"\xff\xfe/caf\xe9"), (b"replacement", "\ufffd\ufffd".encode())]
    for name, target in targets:
        os.symlink(target, base + b"/" + name)


def _devices(base: bytes) -> None:
    os.mkdir(base)
    os.mkfifo(base + b"/fifo", 0o640)
    os.mknod(base + b"/null", 0o020666, os.makedev(1, 3))
    os.mknod(base + b"/big-numbers", 0o020600, os.makedev(300, 70000))
    os.mknod(base + b"/block", 0o060660, os.makedev(7, 200))
    os.chown(base + b"/null", 5, 6)


def _contents(base: bytes) -> None:
    os.mkdir(base)
    os.mkdir(base + b"/empty-folder")
    _write(base + b"/empty", b"")
    _write(base + b"/one-byte", b"\0")
    _write(base + b"/text", b"SELECT 1;\n" * 5000)
    _write(base + b"/long", random.Random(8).randbytes(LONG_BYTES) + bytes(100_000))
    _write(base + b"/zeros", bytes(1 << 20))
    with open(base + b"/sparse", "wb") as file:
        file.truncate(SPARSE_BYTES)
        file.seek(SPARSE_BYTES // 2)
        file.write(b"in the middle")
    with open(base + b"/all-hole", "wb") as file:
        file.truncate(SPARSE_BYTES + 12345)


def _deep(base: bytes) -> None:
    path = base
    for level in range(LEVELS):
        os.mkdir(path)
        _write(path + b"/file", b"level %d" % level)
        path += b"/level-%d" % level


def _times(base: bytes) -> None:
    os.mkdir(base)
    for name, instant in TIMES_NS:
        _write(base + b"/" + name, name)
        os.mkdir(base + b"/folder-" + name)
        os.symlink(name, base + b"/link-" + name)
        for prefix in (b"", b"folder-", b"link-"):
            os.utime(base + b"/" + prefix + name, ns=(instant, instant), follow_symlinks=False)
    os.utime(base, ns=(1, -1))

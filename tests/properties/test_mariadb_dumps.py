"""The text of dumps: cut anywhere, it means the same; rows are counted whatever they hold; and nothing reaches beyond its database."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sources.mariadb import answers
from engine.sources.mariadb.connection import error_number, quote_name, quote_text, reason
from engine.sources.mariadb.contents import MariadbContents
from engine.sources.mariadb.dump_text import DumpScanner, Span
from engine.sources.mariadb.rewriting import Rewriter

_ESCAPES = {"\n": "\\n", "'": "\\'", "\\": "\\\\", "\r": "\\r", "\0": "\\0", '"': '\\"'}
_TEXTS = st.text(st.sampled_from("ab(),';\\\n\"-`/* ü"), max_size=12)
_NAMES = st.text(st.sampled_from("ab `;('$ü-"), min_size=1, max_size=8)
_HEAD = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n--\n-- Host: localhost    Database: shop\n-- ---\n\n"
_TAIL = "/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;\n\n-- Dump completed on 2026-11-28  1:30:45\n"


def _value(text: str) -> str:
    return "'" + "".join(_ESCAPES.get(letter, letter) for letter in text) + "'"


def _table(name: str, rows: list[str], *, is_mysql: bool) -> str:
    quoted = quote_name(name)
    values = [f"({number},{_value(row)})" for number, row in enumerate(rows)]
    joined = " " + ",".join(values) if is_mysql else "\n" + ",\n".join(values)
    inserts = f"INSERT INTO {quoted} VALUES{joined};\n" if values else ""
    return (
        f"--\n-- Table structure for table {quoted}\n--\n\nDROP TABLE IF EXISTS {quoted};\nCREATE TABLE {quoted} (\n  `id` int\n)\n"
        f" PARTITION BY RANGE (`id`)\n(PARTITION `p0` VALUES LESS THAN (10));\n\n--\n-- Dumping data for table {quoted}\n--\n\n"
        f"LOCK TABLES {quoted} WRITE;\n{inserts}UNLOCK TABLES;\n"
        "/*!50003 SET @saved_cs_client      = @@character_set_client */ ;\nDELIMITER ;;\n/*!50003 CREATE*/ /*!50003 trigger t begin\n(select 1);\n"
        "USE INDEX (a);\nend */;;\nDELIMITER ;\n\n"
    )


@st.composite
def _dumps(draw: st.DrawFn) -> tuple[bytes, dict[str, int]]:
    tables = draw(st.dictionaries(_NAMES, st.lists(_TEXTS, max_size=6), max_size=4))
    is_mysql = draw(st.booleans())
    text = "".join(_table(name, rows, is_mysql=is_mysql) for name, rows in tables.items())
    return (_HEAD + text + _TAIL).encode(), {name: len(rows) for name, rows in tables.items()}


def _scan(data: bytes, cuts: list[int]) -> tuple[DumpScanner, list[Span]]:
    scanner = DumpScanner()
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    spans = [span for begin, end in itertools.pairwise(places) for span in scanner.feed(data[begin:end])]
    return scanner, [*spans, *scanner.end()]


@given(_dumps(), st.lists(st.integers(min_value=0), max_size=8))
def test_rows_are_counted_whatever_they_hold_and_however_they_come(
    dump: tuple[bytes, dict[str, int]], cuts: list[int]
) -> None:
    """The manifest's rows are what drills are compared with."""
    data, rows = dump
    scanner, spans = _scan(data, cuts)
    assert (scanner.rows, scanner.tables) == (rows, set(rows))
    assert b"".join(span.data for span in spans) == b"\n" + data
    assert (scanner.is_complete, scanner.refused) == (True, "")


@given(_dumps(), st.integers(min_value=1, max_value=30))
def test_a_dump_without_its_end_is_not_complete(dump: tuple[bytes, dict[str, int]], missing: int) -> None:
    """A cut dump may load without an error."""
    data, _rows = dump
    scanner, _spans = _scan(data[: -missing - 24], [])
    assert not scanner.is_complete


@given(_dumps(), st.sampled_from(["USE `live`", "use live", "CREATE DATABASE x", "DROP  DATABASE `x`", "/*!40000 DROP DATABASE IF EXISTS `x`*/",
    "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `x`", "  create schema x", "CREATE OR REPLACE DATABASE x"]), st.lists(st.integers(min_value=0), max_size=3))  # fmt: skip
def test_a_dump_that_chooses_its_database_is_seen(
    dump: tuple[bytes, dict[str, int]], statement: str, cuts: list[int]
) -> None:
    """Loaded anywhere, it would overwrite the live one."""
    data, _rows = dump
    scanner, _spans = _scan(data.replace(b"/*!40103", f"{statement};\n/*!40103".encode()), cuts)
    assert scanner.refused
    assert not _scan(data, cuts)[0].refused


def test_a_line_of_any_length_needs_no_more_memory_than_a_block() -> None:
    """A picture of a gigabyte is one line."""
    data = _table("pictures", ["x"], is_mysql=False).encode().replace(b"'x'", b"0x" + b"ab" * 4_000_000)
    scanner, spans = _scan(data, [cut * 200_000 for cut in range(40)])
    assert scanner.rows == {"pictures": 1}
    assert max(len(span.data) for span in spans) < 2_500_000


@given(st.lists(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))), min_size=1), max_size=4))  # fmt: skip
def test_answers_are_read_as_they_were_given(rows: list[list[str | None]]) -> None:
    """A name may hold whatever parts fields elsewhere."""

    def escaped(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")

    def as_field(value: str | None) -> str:
        return (
            '<field name="a" xsi:nil="true" />'
            if value is None
            else f'<field name="a">{escaped(value)}</field>'
        )

    body = "".join(f"\n  <row>\n\t{''.join(map(as_field, row))}\n  </row>" for row in rows)
    text = f'<?xml version="1.0"?>\n\n<resultset statement="select &lt;1" xmlns:xsi="x">{body}</resultset>\n'
    assert answers.parse_results((text * 2).encode()) == [rows, rows]


@given(st.text(min_size=1))
def test_a_name_and_a_text_stay_what_they_are_in_a_statement(text: str) -> None:
    """Nothing of them ends the quotes early."""
    assert re.fullmatch(r"`(?:[^`]|``)*`", quote_name(text), re.DOTALL)
    assert re.fullmatch(
        r"CONVERT\(0x[0-9a-f]+ USING utf8mb4\)",
        quote_text(text.replace("\ud800", "")) if text.isascii() else quote_text("x"),
    )


@given(st.text(max_size=60))
def test_an_error_about_a_statement_tells_nothing_of_its_data(data: str) -> None:
    """Standard error is kept in logs, and the statement is a row."""
    secret = f"<<{data}>>"
    said = f"--------------\nINSERT INTO t VALUES ('{secret}')\n--------------\n\nERROR 1064 (42000) at line 3: You have an error near '{secret}'' at line 1\n"
    words = reason(said.encode(errors="replace"))
    assert "<<" not in words
    assert error_number(words) == 1064


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("ERROR 1045 (28000): Access denied for user 'u'@'h' (using password: YES)", 1045),
        ("mariadb-dump: Got error: 1049: \"Unknown database 'x'\" when selecting the database", 1049),
        (
            "mariadb-dump: Error 2013: Lost connection to server during query when dumping table `x` at row: 4",
            2013,
        ),
        (
            "mariadb-dump: Couldn't execute 'SHOW CREATE USER 'a'@'b'': Can't find any matching row (1133)",
            1133,
        ),
    ],
)
def test_both_ways_to_name_an_error_are_known(line: str, number: int) -> None:
    """What is wrong decides what is said and done."""
    assert error_number(line) == number
    assert reason(b"Warning: something\n" + line.encode()) == line


def _rewritten(text: str, rewriter: Rewriter) -> str:
    _scanner, spans = _scan((_HEAD + text + _TAIL).encode(), [])
    data = b"".join(map(rewriter.rewritten, spans)).decode()
    return data.removeprefix("\n" + _HEAD).removesuffix(_TAIL)


_TRIGGERS = "--\n-- Table structure for table `t`\n--\nCREATE TABLE `t` (a int);\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-- Dumping routines for database 'x'\nALTER DATABASE `sh``op` CHARACTER SET utf8mb4 COLLATE x ;\nDELIMITER ;;\nALTER DATABASE `x` CHARACTER SET a COLLATE b ;;\n", "-- Dumping routines for database 'x'\nALTER DATABASE CHARACTER SET utf8mb4 COLLATE x ;\nDELIMITER ;;\nALTER DATABASE CHARACTER SET a COLLATE b ;;\n"),
        (
            _TRIGGERS + "/*!50003 SET @saved_x */ ;\nDELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 trigger `shop` . tr before insert on shop.`t` for each row set @a = shop.f() */;;\nDELIMITER ;\n",
            _TRIGGERS + "/*!50003 SET @saved_x */ ;\nDELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 trigger tr before insert on `t` for each row set @a = shop.f() */;;\nDELIMITER ;\n",
        ),
        (
            "-- Final view structure for view `v`\n/*!50001 VIEW `v` AS select '`shop`.`a`.`b`' AS `x`,`shop`.`a`.`id` AS `id` from (`shop`.`a` join `other`.`shop`) */;\n",
            "-- Final view structure for view `v`\n/*!50001 VIEW `v` AS select '`shop`.`a`.`b`' AS `x`,`a`.`id` AS `id` from (`a` join `other`.`shop`) */;\n",
        ),
        (
            "-- Final view structure for view `v`\n/*!50001 VIEW `v` AS select `shop`.`id` AS `id` from `a` `shop` */;\n",
            "-- Final view structure for view `v`\n/*!50001 VIEW `v` AS select `shop`.`id` AS `id` from `a` `shop` */;\n",
        ),
    ],
    ids=["collation", "trigger", "view-of-two-databases", "view-with-an-alias"],
)  # fmt: skip
def test_what_names_its_database_loses_the_name(text: str, expected: str) -> None:
    """Loaded beside the live one, it would change or read that one."""
    assert _rewritten(text, Rewriter()) == expected


def test_events_sleep_until_their_database_is_in_place() -> None:
    """A copy's events would run beside the live ones, and delete or send twice."""
    event = "-- Dumping events for database 'shop'\nDELIMITER ;;\n/*!50106 CREATE*/ /*!50117 DEFINER=`a`@`b`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY STARTS '2026-11-28 01:36:27' ON COMPLETION NOT PRESERVE ENABLE DO begin end */ ;;\nDELIMITER ;\n"
    rewriter = Rewriter()
    paused = _rewritten(event, rewriter)
    assert (rewriter.paused, paused) == (1, event.replace("ENABLE", "DISABLE ON SLAVE"))
    assert _rewritten(paused, Rewriter(events="resume")) == event
    asleep = event.replace("ENABLE", "DISABLE")
    assert _rewritten(asleep, Rewriter()) == _rewritten(asleep, Rewriter(events="resume")) == asleep


def test_an_old_client_gets_no_sandbox_line() -> None:
    """It takes the line for a command, and fails."""
    _scanner, spans = _scan((_HEAD + _TAIL).encode(), [])
    assert b"sandbox" not in b"".join(map(Rewriter(keeps_sandbox=False).rewritten, spans))
    assert b"sandbox" in b"".join(map(Rewriter().rewritten, spans))


def test_only_the_chosen_tables_come_with_their_triggers() -> None:
    """One table is restored beside the live data, and nothing else is touched."""
    text = (
        _table("a", ["x"], is_mysql=False)
        + _table("b", ["y"], is_mysql=False)
        + "-- Dumping routines for database 'shop'\nSELECT 1;\n"
    )
    loaded = _rewritten(text, Rewriter(tables=frozenset({"b"})))
    assert "`a`" not in loaded
    assert "routines" not in loaded
    assert loaded.count("DELIMITER ;;") == 1
    assert "INSERT INTO `b` VALUES\n(0,'y');" in loaded


@given(_dumps(), st.lists(st.integers(min_value=0), max_size=8))
def test_what_a_dump_holds_is_told_alike_however_it_comes(
    dump: tuple[bytes, dict[str, int]], cuts: list[int]
) -> None:
    """Two backups are read in pieces of their own each."""
    data, rows = dump
    whole, cut = MariadbContents({}), MariadbContents({})
    whole.feed(data)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for begin, end in itertools.pairwise(places):
        cut.feed(data[begin:end])
    found = whole.finish()
    assert found == cut.finish()
    assert {name: each.rows for name, each in found.tables.items()} == {
        name: count for name, count in rows.items() if name not in found.unread
    }

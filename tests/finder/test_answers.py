"""Answers as text: for a terminal, as JSON, and as a CSV table that a spreadsheet may open."""

import csv
import io
import json

import pytest

from autoparts.finder import answers
from autoparts.finder.finder import Answer, LookAlike, Named

NAMES = [Named("Brake Disc", 0.91234), Named('=HYPERLINK("x")', 0.05)]
KNOWN = Answer(True, NAMES, [LookAlike("Brake Disc", 0.12345, b"")], 9.12345, 8.5, "")
STRANGE = KNOWN._replace(known=False, warning="drawn parts only")


def test_a_table_has_a_row_for_each_name_of_a_known_part():
    assert answers.table_rows("a/1.jpg", KNOWN, 9) == f"a/1.jpg      91.2%  Brake Disc\n{'':9}     5.0%  {NAMES[1][0]}"
    first, second = answers.table_rows("folder/of/photo.jpg", STRANGE, 9).splitlines()
    compared = "score 9.12, most known parts have 8.50 or more"
    assert first == f"…hoto.jpg  nothing like it in the catalogue (likeliest: Brake Disc, {compared})"
    assert second == f"{'':9}  drawn parts only"
    assert answers.table_rows("\x1b[2J", "no\nphoto", 7) == r"\x1b[2J  cannot be read: no\nphoto"


def test_a_line_of_json_holds_the_answer():
    told = json.loads(answers.json_line("1.jpg", STRANGE))
    assert (told["photo"], told["known"], told["name"], told["warning"]) == ("1.jpg", False, None, "drawn parts only")
    assert told["names"][0] == {"category": "Brake Disc", "confidence": 0.9123}
    assert told["nearest"] == [{"category": "Brake Disc", "distance": 0.1235}]
    assert (told["score"], told["threshold"]) == (9.1235, 8.5)
    assert json.loads(answers.json_line("1.jpg", "broken")) == {"photo": "1.jpg", "error": "broken"}


@pytest.mark.parametrize(("path", "answer", "told"), [("a, b.jpg", KNOWN, "yes"), ("-1.jpg", STRANGE, "no")])
def test_a_table_of_csv_has_a_line_for_each_photo_and_no_formula(path, answer, told):
    lines = answers.csv_header(3), answers.csv_line(path, answer, 3), answers.csv_line("a\n.jpg", "no photo", 3)
    header, line, unread = csv.reader(io.StringIO("\n".join(lines)))
    names = [f"{kind}_{place}" for place in (1, 2, 3) for kind in ("name", "confidence")]
    assert header == ["photo", "known", *names, "score", "threshold", "warning", "error"]
    harmless = [f"'{path}" if path[0] == "-" else path, told, "Brake Disc", "0.9123", '\'=HYPERLINK("x")', "0.0500"]
    assert line == [*harmless, "", "", "9.1235", "8.5000", answer.warning, ""]
    assert unread == [r"a\n.jpg", *[""] * 10, "no photo"]


def test_numbers_stay_numbers_in_a_table():
    assert answers._csv_line(["-0.5123", "+2", "-x", "=1", "@a", "\t=1"]) == "-0.5123,+2,'-x,'=1,'@a,\\t=1"

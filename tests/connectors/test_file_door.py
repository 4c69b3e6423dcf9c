"""The file door over real folders: who is answered, what is never taken, and what comes back."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest

from connectors.file_door.claim import kept_name
from connectors.inbox import MemoryInbox
from schemas.header import Door, Kind
from tests.connectors.events import line
from tests.connectors.files import Files, crossings


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def entries(files: Files) -> list[tuple[int, bytes]]:
    """Return kind and delivery id of all that the inbox holds."""
    assert isinstance(files.inbox, MemoryInbox)
    return [(each.header.kind, each.header.delivery) for each in files.inbox.entries]


def test_every_row_has_a_verdict_and_the_file_comes_back_with_them(files: Files) -> None:
    content = crossings(7, wrong=[3])
    files.drop("march.jsonl", content)
    assert files.look() == 1
    assert files.left() == []

    done = files.done("march.jsonl")
    assert sorted(path.name for path in done.folder.iterdir()) == [
        "march.jsonl", "summary.json", "verdicts.csv", "verdicts.jsonl",
    ]  # fmt: skip
    assert (done.folder / "march.jsonl").read_bytes() == content
    assert done.summary == {
        "file": "march.jsonl", "family": "border.crossing", "complete": True,
        "accepted": 6, "refused": 1, "codes": {"not-in-codelist": 1},
    }  # fmt: skip
    assert [(each["row"], each["answer"]) for each in done.lines] == [
        (n, "refused" if n == 3 else "accepted") for n in range(1, 8)
    ]
    refused = done.table[2]
    assert (refused["row"], refused["code"], refused["field"]) == ("3", "not-in-codelist", "event.checkpoint")
    assert all(refused[each] for each in ("rule", "remedy"))
    assert not refused["receipt"]
    assert [kind for kind, _ in entries(files)].count(Kind.REFUSED) == 1
    assert isinstance(files.inbox, MemoryInbox)
    came = {each.header.seq for each in files.inbox.entries if each.header.kind == Kind.EVENT}
    assert came == {Door.FILE}
    assert b"NOWHERE" not in b"".join(path.read_bytes() for path in done.folder.glob("*.c*"))


def test_verdicts_speak_the_language_that_is_set(tmp_path: Path) -> None:
    files = Files(tmp_path, lang="ru")
    files.drop("a.jsonl", line(event__checkpoint="NOWHERE"))
    files.look()
    assert "справочник" in files.done("a.jsonl").table[0]["rule"]


def test_the_same_file_again_is_the_same_deliveries(files: Files) -> None:
    files.drop("a.jsonl", crossings(5, wrong=[2]))
    files.look()
    files.drop("a.jsonl", crossings(5, wrong=[2]))
    files.look()
    first, again = entries(files)[:5], entries(files)[5:]
    assert first == again
    assert files.done("a.jsonl").lines == files.done("a.jsonl.2").lines


def test_a_row_that_stands_twice_in_a_file_is_two_deliveries(files: Files) -> None:
    files.drop("a.jsonl", line() + b"\n" + line())
    files.look()
    assert len(set(entries(files))) == 2
    one, two = files.done("a.jsonl").lines
    assert one["receipt"] == two["receipt"]


def test_two_agencies_with_the_same_bytes_are_two_senders(files: Files) -> None:
    files.drop("a.jsonl", line())
    (files.root / "mvd" / "in" / "border.crossing").mkdir()
    files.drop("a.jsonl", line(), agency="mvd")
    files.look("gpk")
    files.look("mvd")
    assert len(set(entries(files))) == 2
    one, two = files.done("a.jsonl").lines + files.done("a.jsonl", agency="mvd").lines
    assert one["receipt"] != two["receipt"]


def test_a_file_is_taken_only_when_it_stands_still(tmp_path: Path) -> None:
    files = Files(tmp_path, settle_secs=5.0)
    path = files.drop("a.jsonl", line())
    for files.clock, more in ((0.0, b"\n"), (4.0, line()), (8.0, b"")):
        assert files.look() == 0
        with path.open("ab") as file:
            file.write(more)
    assert (files.look(), files.door.progress["gpk"].waiting) == (0, 1)
    files.clock = 12.9
    assert files.look() == 0
    files.clock = 13.0
    assert (files.look(), files.door.progress["gpk"].waiting) == (1, 0)
    assert files.done("a.jsonl").summary["accepted"] == 2


@pytest.mark.parametrize("name", ["a.jsonl.part", "a.jsonl.filepart", "A.JSONL.TMP", ".a.jsonl", "a.jsonl~"])
def test_what_is_named_as_unfinished_is_never_taken(files: Files, name: str) -> None:
    path = files.drop(name, line())
    assert files.look() == 0
    path.rename(path.with_name("a.jsonl"))
    assert files.look() == 1


def test_who_still_writes_to_a_file_that_was_taken_is_told_so(files: Files) -> None:
    path = files.drop("a.jsonl", crossings(700))

    class Writing(MemoryInbox):
        """An inbox whose first batch comes while the agency goes on writing."""

        async def put(self, entries: object) -> None:
            await super().put(entries)  # type: ignore[arg-type]
            if not writer.closed:
                writer.write(line())
                writer.close()

    with path.open("ab") as writer:
        changed = Files(files.root, Writing())
        assert changed.look() == 1
    done = files.done("a.jsonl", "failed")
    assert (done.summary["accepted"], done.summary["complete"]) == (500, False)
    assert (done.lines[-1]["row"], done.lines[-1]["errors"][0]["code"]) == (0, "file-changed")


def test_a_file_of_an_unknown_kind_is_put_aside_and_counted_once(files: Files) -> None:
    files.drop("a.docx", b"PK")
    files.look()
    done = files.done("a.docx", "failed")
    assert [each["code"] for each in done.table] == ["unknown-file-type"]
    assert done.summary["complete"] is False
    assert [kind for kind, _ in entries(files)] == [Kind.REFUSED]


@pytest.mark.parametrize(
    ("folder", "back", "code"),
    [
        ("no.such.family", "unknown", "unknown-family"),
        (os.fsdecode(b"\xff\xfe"), "unknown", "unknown-family"),
        ("", "unknown", "unknown-family"),
        ("permit.decision", "permit.decision", "not-entitled"),
    ],
)
def test_the_folder_says_what_a_file_holds_and_the_convention_who_may(
    files: Files, folder: str, back: str, code: str
) -> None:
    (files.root / "gpk" / "in" / folder).mkdir(exist_ok=True)
    files.drop("a.jsonl", line(), folder)
    files.look()
    (told,) = files.done("a.jsonl", "failed", back).table
    assert (told["row"], told["code"]) == ("0", code)


def test_a_link_to_another_agencys_file_is_not_followed(files: Files) -> None:
    secret = files.drop("theirs.jsonl", line("permit.decision"), "permit.decision", "mvd")
    own = files.root / "gpk" / "in" / "border.crossing"
    (own / "symbolic.jsonl").symlink_to(secret)
    os.link(secret, own / "hard.jsonl")
    os.mkfifo(own / "pipe.jsonl")
    assert files.look() == 3
    for name in ("symbolic.jsonl", "hard.jsonl", "pipe.jsonl"):
        assert [each["code"] for each in files.done(name, "failed").table] == ["not-a-file"]
    assert {kind for kind, _ in entries(files)} == {Kind.REFUSED}
    assert secret.exists()


def test_a_folder_that_is_a_link_to_another_agencys_is_not_entered(files: Files) -> None:
    theirs = files.drop("theirs.jsonl", line(), "permit.decision", "mvd")
    own = files.root / "gpk" / "in" / "border.crossing"
    own.rmdir()
    own.symlink_to(theirs.parent)
    assert files.look() == 1
    assert [each["code"] for each in files.done("border.crossing", "failed", "unknown").table] == ["unknown-family"]
    assert {kind for kind, _ in entries(files)} == {Kind.REFUSED}
    (files.root / "gpk").rename(files.root / "before")
    (files.root / "gpk").symlink_to(files.root / "mvd")
    with pytest.raises(OSError, match="gpk"):
        files.look()
    assert theirs.exists()
    assert len(entries(files)) == 1


def test_two_doors_never_answer_the_same_file(files: Files) -> None:
    other = files.another()
    for number in range(3):
        files.drop(f"{number}.jsonl", crossings(2, name=f"{number}"))
    assert files.look() + files.look(door=other) == 3
    assert len(entries(files)) == len(set(entries(files))) == 6


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.csv", "a.csv"),
        ("verdicts.csv", "sent-verdicts.csv"),
        ("summary.json", "sent-summary.json"),
        ("a\nb.csv", "a_b.csv"),
        ("я" * 120 + ".csv", "я" * 88 + ".csv"),
    ],
)
def test_a_files_name_is_kept_as_far_as_it_can_be(files: Files, name: str, kept: str) -> None:
    assert kept_name(name) == kept
    files.drop(name, b"")
    assert files.look() == 1
    assert [place for place in ("done", "failed") if (files.done(kept, place).folder / kept).is_file()]


def test_a_full_disk_stops_nothing_for_good(files: Files) -> None:
    files.drop("a.jsonl", crossings(3))
    fails = count()

    def full(*_: object) -> None:
        if next(fails) < 2:
            raise OSError(28, "No space left on device")

    again = Files(files.root, files.inbox, full)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            again.look()
    assert again.look() == 1
    assert files.done("a.jsonl").summary["accepted"] == 3

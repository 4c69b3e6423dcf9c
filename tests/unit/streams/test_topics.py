"""Names, partitions and the one partitioner."""

import zlib

import pytest

from schemas.errors import Broken
from streams.topics import Topics, partition

TOPICS = Topics(7, ["gpk", "mvd"], ["border.crossing", "permit.decision"], ["F06"])


@pytest.mark.parametrize(
    ("role", "name", "partitions"),
    [
        ("inbox", "migex.inbox.v1", 8),
        ("log", "migex.log.g7", 8),
        ("partials", "migex.partials.g7", 1),
        ("quarantine", "migex.quarantine.v1", 1),
        ("releases", "migex.releases.v1", 1),
        ("clock", "migex.clock.v1", 1),
        ("agency:gpk:border.crossing", "migex.agency.gpk.border.crossing.v1", 2),
        ("verdicts:mvd", "migex.agency.mvd.verdicts.v1", 1),
        ("feed:F06", "migex.feed.F06.v1", 1),
    ],
)
def test_role_gives_name_and_partitions(role: str, name: str, partitions: int) -> None:
    assert (TOPICS.name(role), TOPICS.partitions(role)) == (name, partitions)


def test_all_topics_have_different_names() -> None:
    names = [spec.name for spec in TOPICS.all()]
    assert len(names) == len(set(names)) == 6 + 2 * 2 + 2 + 1


def test_agency_topics_tell_who_may_send_what() -> None:
    assert TOPICS.agency_topics()["migex.agency.mvd.permit.decision.v1"] == ("mvd", "permit.decision")
    assert len(TOPICS.agency_topics()) == 4


@pytest.mark.parametrize("role", ["verdicts:nobody", "agency:gpk:no.family", "feed:F99", "outbox"])
def test_unknown_role_is_our_own_fault(role: str) -> None:
    with pytest.raises(Broken, match="unknown-topic-role"):
        TOPICS.name(role)


def test_only_agency_doors_verdicts_and_the_clock_forget() -> None:
    forgetting = {spec.role.split(":")[0] for spec in TOPICS.all() if spec.keep_ms != -1}
    assert forgetting == {"agency", "verdicts", "clock"}


def test_the_brokers_write_their_own_time_where_the_clock_asks_for_it_and_nowhere_else() -> None:
    timed = {spec.role for spec in TOPICS.all() if "message.timestamp.type" in spec.config(1)}
    assert timed == {"clock"}
    assert TOPICS["clock"].config(1)["message.timestamp.type"] == "LogAppendTime"


@pytest.mark.parametrize(("replicas", "insync"), [(1, "1"), (2, "1"), (3, "2")])
def test_all_but_one_replica_must_have_a_write(replicas: int, insync: str) -> None:
    config = TOPICS["inbox"].config(replicas)
    assert config["min.insync.replicas"] == insync
    assert config["retention.ms"] == "-1"


def test_every_message_fits_the_local_broker() -> None:
    assert max(spec.max_bytes for spec in TOPICS.all()) <= 2 * 1024 * 1024


def test_partition_is_crc32_as_librdkafka_and_zlib_define_it() -> None:
    # "123456789" is the check value of CRC-32/ISO-HDLC; tests/broker compares with librdkafka itself
    assert zlib.crc32(b"123456789") == 0xCBF43926
    assert partition(b"123456789", 8) == 0xCBF43926 % 8
    assert partition(b"", 8) == 0


def test_partitions_are_used_evenly() -> None:
    counts = [0] * 8
    for n in range(8000):
        counts[partition(n.to_bytes(16, "big"), 8)] += 1
    assert min(counts) > 900
    assert max(counts) < 1100

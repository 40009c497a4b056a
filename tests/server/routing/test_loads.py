"""The tokens in flight at each replica."""

from server.routing.loads import ReplicaLoads


def test_a_request_counts_from_its_start_to_its_end() -> None:
    loads = ReplicaLoads()
    loads.start("1", "a", 10)
    loads.start("2", "a", 5)
    assert loads.of(["a", "b"]) == {"a": 15.0, "b": 0.0}

    loads.end("1", "a")
    assert loads.of(["a", "b"]) == {"a": 5.0, "b": 0.0}


def test_a_rejected_request_counts_at_the_replica_that_accepted_it() -> None:
    loads = ReplicaLoads()
    loads.end("1", "a")  # which rejected it
    loads.start("1", "b", 10)

    assert loads.of(["a", "b"]) == {"a": 0.0, "b": 10.0}


def test_a_request_that_ended_before_its_start_was_reported_is_not_counted() -> None:
    loads = ReplicaLoads()
    loads.end("1", "a")
    loads.start("1", "a", 10)

    assert loads.of(["a"]) == {"a": 0.0}

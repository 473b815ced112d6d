"""Memory shared with a worker: what it writes is what is stored, and no slot is written while it is read."""

from __future__ import annotations

import os

import pytest

from engine.repository.slots import Slots, WorkerSlots, slot_bytes

SIZE_BYTES = slot_bytes(5_000)


@pytest.fixture
def slots() -> Slots:
    """This process's side."""
    return Slots(SIZE_BYTES, 2)


@pytest.fixture
def worker(slots: Slots) -> WorkerSlots:
    """The worker's, with files of its own as it has them."""
    return WorkerSlots([os.dup(each) for each in slots.descriptors], SIZE_BYTES)


def test_what_a_worker_writes_is_seen_here(slots: Slots, worker: WorkerSlots) -> None:
    """Without a copy on the way."""
    for _ in range(2):
        number = worker.take()
        worker.view(number)[:5] = b"pack%d" % number
        assert slots.view(number, 5) == b"pack%d" % number


def test_a_slot_is_not_used_again_before_it_is_freed(slots: Slots, worker: WorkerSlots) -> None:
    """A pack that is being uploaded must not change."""
    taken = [worker.take(), worker.take()]
    assert len(set(taken)) == 2
    slots.free(taken[1])
    assert worker.take() == taken[1]


def test_two_workers_never_have_the_same_slot(slots: Slots, worker: WorkerSlots) -> None:
    """Whichever needs one takes it."""
    other = WorkerSlots([os.dup(each) for each in slots.descriptors], SIZE_BYTES)
    first, second = worker.take(), other.take()
    worker.view(first)[:3] = b"one"
    other.view(second)[:3] = b"two"
    assert bytes(slots.view(first, 3)) == b"one"
    assert bytes(slots.view(second, 3)) == b"two"
    slots.free(first)
    assert other.take() == first


def test_a_worker_that_waits_for_a_slot_sees_that_nobody_is_left(slots: Slots, worker: WorkerSlots) -> None:
    """A worker must not outlive the backup."""
    for _ in range(2):
        worker.take()
    slots.close()
    with pytest.raises(BrokenPipeError):
        worker.take()


def test_freeing_after_the_end_does_nothing(slots: Slots) -> None:
    """An upload that was under way may end last."""
    slots.close()
    slots.free(0)
    slots.close()


def test_what_is_still_read_outlives_the_end(slots: Slots, worker: WorkerSlots) -> None:
    """A thread that writes it to a disk cannot be stopped in the middle."""
    number = worker.take()
    worker.view(number)[:4] = b"pack"
    view = slots.view(number, 4)
    slots.close()
    assert bytes(view) == b"pack"

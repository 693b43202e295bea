"""One thread works; the newest of a kind counts; who has gone is forgotten; an error is its asker's alone."""

import asyncio
import threading

import pytest

from scenewise.viewer.worker import RequestThread, Superseded


def test_requests_of_a_kind_give_way_to_the_newest():
    begun, go_on, done = threading.Event(), threading.Event(), []

    def hold():
        begun.set()
        assert go_on.wait(10)
        return "held"

    async def run():
        with RequestThread() as worker:
            first = asyncio.create_task(worker.do("a", hold))
            assert await asyncio.to_thread(begun.wait, 10)
            kinds = [("b", 1), ("b", 2), ("c", 3), ("b", 4)]
            tasks = []
            for kind, value in kinds:
                tasks.append(asyncio.create_task(worker.do(kind, lambda v=value: done.append(v) or v)))
                await asyncio.sleep(0)
            go_on.set()
            return await first, await asyncio.gather(*tasks, return_exceptions=True)

    held, rest = asyncio.run(run())
    assert held == "held"
    assert isinstance(rest[0], Superseded)
    assert isinstance(rest[1], Superseded)
    assert rest[2:] == [3, 4]
    assert done == [4, 3]  # in the place of the one that asked first


def test_all_work_is_done_in_one_thread():
    async def run():
        with RequestThread() as worker:
            return [await worker.do(n, threading.get_ident) for n in range(4)]

    threads = asyncio.run(run())
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


def test_an_error_reaches_who_asked_and_the_thread_lives_on():
    def fail():
        raise ZeroDivisionError

    async def run():
        with RequestThread() as worker:
            with pytest.raises(ZeroDivisionError):
                await worker.do("a", fail)
            return await worker.do("b", lambda: 1)

    assert asyncio.run(run()) == 1


def test_who_has_gone_is_forgotten():
    begun, go_on, done = threading.Event(), threading.Event(), []

    async def run():
        with RequestThread() as worker:
            first = asyncio.create_task(worker.do((1, "a"), lambda: begun.set() or go_on.wait(10)))
            assert await asyncio.to_thread(begun.wait, 10)
            gone = asyncio.create_task(worker.do((2, "b"), lambda: done.append("gone")))
            stays = asyncio.create_task(worker.do((3, "b"), lambda: done.append("stays")))
            await asyncio.sleep(0)
            worker.forget(lambda kind: kind[0] == 2)
            go_on.set()
            await asyncio.gather(first, stays)
            with pytest.raises(Superseded):
                await gone

    asyncio.run(run())
    assert done == ["stays"]


def test_after_the_end_nothing_is_taken_on():
    async def run():
        worker = RequestThread()
        with worker:
            await worker.do("a", lambda: 1)
        with pytest.raises(Superseded):
            await worker.do("a", lambda: 1)

    asyncio.run(run())

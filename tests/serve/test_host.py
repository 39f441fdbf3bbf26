"""The host: a queue with positions, a limit, replies that stop when their reader goes."""

import asyncio
from contextlib import aclosing

import pytest
from fakes_serve import ESCONV, Typist, within

from hearten.core.conversation import Conversation, Role, Turn
from hearten.core.errors import Failure
from hearten.core.records import Reply
from hearten.core.supporter import Wishes
from hearten.serve.host import Busy, Host, Waiting

HELLO = Conversation(id="c", turns=(Turn(speaker=Role.SEEKER, text="my boss is rude"),))


async def read(host, owner="", **wanted):
    return [news async for news in host.stream(HELLO, owner=owner, **wanted)]


def run(work):
    return asyncio.run(asyncio.wait_for(work, 20))


def test_a_reply_grows_and_ends_whole():
    host = Host(Typist("one two three"))
    said = [news.text for news in run(read(host, strategy=ESCONV.find("Others")))]
    assert said == ["", "one", "one two", "one two three"]
    host.close()


def test_the_wishes_reach_the_supporter_and_refine_is_one_of_them():
    typist = Typist("one")
    run(read(Host(typist), wishes=Wishes(temperature=0.5), refine=True))
    assert typist.wishes == [Wishes(temperature=0.5, refine=True)]


def test_no_more_than_the_places_are_answered_at_once_and_the_others_hear_where_they_stand():
    typist = Typist("one two three", pace=0.01)
    host = Host(typist, at_once=2, queue=20)

    async def crowd():
        return await asyncio.gather(*(read(host, owner=f"o{number}") for number in range(6)))

    heard = run(crowd())
    assert typist.most == 2
    positions = [[news.position for news in one if isinstance(news, Waiting)] for one in heard]
    assert positions[:2] == [[], []]
    assert [one[0] for one in positions[2:]] == [1, 2, 3, 4]
    assert all(one == sorted(one, reverse=True) for one in positions)
    assert all(isinstance(one[-1], Reply) and one[-1].text == "one two three" for one in heard)


def test_a_full_queue_is_busy_and_says_when_to_come_back():
    typist = Typist()
    host = Host(typist, at_once=1, queue=1)

    async def crowd():
        typist.hold.clear()
        first, second = (asyncio.create_task(read(host, owner=name)) for name in "ab")
        await asyncio.sleep(0.05)
        with pytest.raises(Busy) as error:
            await read(host, owner="c")
        typist.hold.set()
        await asyncio.gather(first, second)
        return error.value.retry_after

    assert run(crowd()) >= 1


def test_closing_the_iterator_ends_the_generation_and_frees_the_place():
    typist = Typist(" ".join(["word"] * 400), pace=0.005)
    host = Host(typist, at_once=1, queue=0)

    async def leave():
        async with aclosing(host.stream(HELLO)) as replies:
            async for news in replies:
                if news.text.count(" ") > 3:
                    break

    run(leave())
    assert (typist.running, typist.cut) == (0, 1)
    assert host.turnstile.inside == 0
    run(leave())


def test_whoever_leaves_the_queue_leaves_no_trace():
    typist = Typist(pace=0.005)
    host = Host(typist, at_once=1, queue=5)

    async def give_up():
        typist.hold.clear()
        first = asyncio.create_task(read(host, owner="a"))
        await asyncio.sleep(0.05)
        async with aclosing(host.stream(HELLO, owner="b")) as replies:
            assert await anext(replies) == Waiting(position=1)
        assert host.turnstile.waiting == 0
        typist.hold.set()
        await first

    run(give_up())
    assert len(typist.asked) == 1, "the one who gave up was never answered"


def test_a_cancelled_task_ends_the_generation_too():
    typist = Typist(" ".join(["word"] * 400), pace=0.005)
    host = Host(typist, at_once=1)

    async def cancelled():
        task = asyncio.create_task(read(host))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancelled())
    assert within(5, lambda: typist.running == 0 and typist.cut == 1)


def test_a_fault_of_the_supporter_reaches_the_reader_and_frees_the_place():
    class Broken(Typist):
        def stream(self, conversation, *, strategy=None):
            yield Reply(text="so")
            raise Failure("the model is gone")

    host = Host(Broken(), at_once=1)
    for _ in range(2):
        with pytest.raises(Failure, match="the model is gone"):
            run(read(host))
    assert host.turnstile.inside == 0


def test_what_happened_is_counted():
    host = Host(Typist("one two"), at_once=1, queue=0)
    run(read(host))
    text = host.meters.text().decode()
    assert 'hearten_replies_total{end="done"} 1.0' in text
    assert 'hearten_tokens_total{kind="completion"} 2.0' in text
    assert "hearten_first_words_seconds_count 1.0" in text
    assert "hearten_answering 0.0" in text


def test_closing_the_host_stops_what_runs():
    typist = Typist(" ".join(["word"] * 4000), pace=0.005)
    host = Host(typist, at_once=2)

    async def close():
        task = asyncio.create_task(read(host))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(host.close)
        return await task

    assert len(run(close())) < 200
    assert typist.running == 0

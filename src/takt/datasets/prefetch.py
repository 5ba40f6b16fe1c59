"""Work done ahead of whoever waits for it."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def prefetched(
    jobs: Iterable[Job], work: Callable[[Job], Result], *, workers: int = 2, ahead: int = 4
) -> Generator[Result, None, None]:
    """`work(job)` for each job, in the order of the jobs, whatever the threads' timing.

    Threads do: decoding images lets go of the interpreter. An error comes out where its result
    would have; leaving the loop early drops what has not begun.

    Args:
        jobs: What to do; taken one by one, only as far ahead as asked for.
        work: Done by one of the threads.
        workers: Number of threads.
        ahead: Results at most that wait or are being made.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    waiting: deque[Future[Result]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

"""Work that has to happen one after the other, though it is asked for all at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

Start = Callable[[], "Future[None]"]
"""Starts something and returns what ends when it is done."""
Finish = Callable[[], bytes]
"""Looks at what was done, before the next thing starts."""


class Chain:
    """Starts each thing when the one before has ended; nobody waits for it in a thread.

    After the first failure nothing is started any more: what was asked for, before and after, fails alike.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Start, Finish, Future[bytes]]] = deque()
        self._busy = False
        self._failure: BaseException | None = None

    def add(self, start: Start, finish: Finish) -> Future[bytes]:
        """Have `start` called after all that was added before has ended well, and then `finish`: its result."""
        result: Future[bytes] = Future()
        with self._lock:
            self._waiting.append((start, finish, result))
            if self._busy:
                return result
            self._busy = True
        self._go_on()
        return result

    def _go_on(self) -> None:
        """Start the next one. Whoever calls this is the only one that does, until the chain has run out."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._busy = False
                    return
                start, finish, result = self._waiting.popleft()
            if self._failure is None and self._start(start, finish, result):
                return
            if not result.done() and self._failure is not None:
                result.set_exception(self._failure)

    def _start(self, start: Start, finish: Finish, result: Future[bytes]) -> bool:
        """Whether it is under way."""
        try:
            request = start()
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to who waits for the result
            self._failure = error
            return False
        request.add_done_callback(lambda done: self._ended(done, finish, result))
        return True

    def _ended(self, done: Future[None], finish: Finish, result: Future[bytes]) -> None:
        try:
            done.result()
            answer = finish()
        except BaseException as error:  # noqa: BLE001 - runs in a thread of the client's: nothing may escape
            self._failure = error
            result.set_exception(error)
        else:
            # the next request goes out before anybody is told: it is what the frames wait for
            self._go_on()
            result.set_result(answer)
            return
        self._go_on()

"""Work of a step's own, one thing after the other in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue


class InTurn:
    """Does what it is given, in that order. The thread ends with the process.

    After the first failure nothing is done any more: what follows fails alike.
    """

    def __init__(self, name: str) -> None:
        self._waiting: SimpleQueue[tuple[Callable[[], bytes], Future[bytes]]] = SimpleQueue()
        self._failure: BaseException | None = None
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def add(self, work: Callable[[], bytes]) -> Future[bytes]:
        """Have `work` called after all that was added before; the future has what it returns or raises."""
        result: Future[bytes] = Future()
        self._waiting.put((work, result))
        return result

    def _work(self) -> None:
        while True:
            work, result = self._waiting.get()
            try:
                if self._failure is not None:
                    raise self._failure
                answer = work()
            except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to who waits for the result
                self._failure = error
                result.set_exception(error)
            else:
                result.set_result(answer)

"""A time limit on a classifier: whoever waits for an answer waits no longer than this."""

from __future__ import annotations

import queue
import threading

from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.verdict import Classifier, Judgement


class TimeLimited:
    """A classifier that raises ``TimeoutError`` where another one takes too long.

    That one works in a thread of its own. While it is still busy with a call that was given up it is not asked again:
    every call in between is late at once.

    Parameters
    ----------
    classifier : Classifier
    limit_s : float
        Seconds of wall time for one call.
    """

    def __init__(self, classifier: Classifier, limit_s: float) -> None:
        self._classifier = classifier
        self._limit_s = limit_s
        self._given_up: threading.Thread | None = None

    def judge(self, triggers: TriggerSet) -> Judgement:
        """Judge, or raise ``TimeoutError``; what the classifier raises comes through."""
        if self._given_up is not None and self._given_up.is_alive():
            raise TimeoutError("still busy with an earlier call")
        answer: queue.SimpleQueue[Judgement | BaseException] = queue.SimpleQueue()

        def work() -> None:
            try:
                answer.put(self._classifier.judge(triggers))
            except BaseException as error:  # handed to the caller
                answer.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            said = answer.get(timeout=self._limit_s)
        except queue.Empty:
            self._given_up = thread
            raise TimeoutError(f"no answer within {self._limit_s:g} s") from None
        if isinstance(said, BaseException):
            raise said
        return said

"""Parts of aiokafka's transactional producer that are not public: its waits, and how it failed.

As streams/kafka/faust_transport.py, this touches private members of one pinned version.
"""

from __future__ import annotations

import aiokafka
from aiokafka.producer import sender


def hasten_transactions() -> None:
    """Wait 1 ms, not 20, where a transaction follows the one before it at once (aiokafka's sender).

    Kafka answers CONCURRENT_TRANSACTIONS until the markers of the last one are written, which
    takes about a millisecond; 24 ms back to back become 3.5.
    """
    sender.BACKOFF_OVERRIDE = 0.001


def retrieve_failures(producer: aiokafka.AIOKafkaProducer) -> None:
    """Take note of every failure that a stopped producer has left and nobody waits for.

    Once fenced, aiokafka fails all futures of its batches and of the transaction. The first failure
    is raised to whoever commits; asyncio would log a traceback for each of the others.
    """
    accumulator = producer._message_accumulator
    batches = [batch for queue in accumulator._batches.values() for batch in queue]
    left = [future for batch in batches for future in (batch.future, batch._drain_waiter)]
    if (transactions := producer._txn_manager) is not None:
        left.append(transactions.wait_for_transaction_end())
    for future in left:
        if future is not None and future.done() and not future.cancelled():
            future.exception()


def why_it_failed(producer: aiokafka.AIOKafkaProducer) -> BaseException | None:
    """Return what ended a producer's transaction in the background; None while nothing has.

    Until someone waits for its end, aiokafka says only that there is none: a send is an
    `IllegalOperation`, a commit an `AssertionError` of its state machine.
    """
    transactions = producer._txn_manager
    ended = None if transactions is None else transactions.wait_for_transaction_end()
    if ended is None or not ended.done() or ended.cancelled():
        return None
    error: BaseException | None = ended.exception()
    return error

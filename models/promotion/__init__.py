"""Who is better, over all partitions: evidence in, standings and commands out; no I/O, no clock.

assembly     sums of all partitions, block by block, in the order of event time
contender    one comparison: its bets, its guard metric, what is to be done
decider      all comparisons of a use case, under one error budget
standings    the records that say so
"""

"""The monitor: what all partitions tell, added up, for the page and the command line.

    topics ──▶ rows.py ──▶ shelves.py ──▶ views.py ──▶ figures.py ──▶ page, command line, alerts
               pure        Redis, or      pure but     frozen
                           memory         for reading

A record becomes rows, each under its own key on a shelf, so that taking it twice changes nothing.
Shelves hold counts and sums as partitions tell them; they are added up when they are looked at, and
metrics are computed from the sums: never an average of averages. With no monitor running the same
views read shelves that were filled from the topics.
"""

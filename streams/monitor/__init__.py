"""The monitor: figures and alerts of a use case, summed over all partitions.

    topics ──▶ row_mapping ──▶ store ──▶ queries ──▶ view_models ──▶ page, command line, alerts
               pure            Redis,    read only   frozen
                               or memory

A record becomes rows, each under its own key of a table, so that reading a record twice changes
nothing. Tables hold counts and sums by partition. Queries add them up and compute metrics from the
sums, never an average of averages. Without a monitor the same queries read tables that were filled
from the topics.
"""

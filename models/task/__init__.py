"""The deterministic state machine of one partition: events, outcomes and commands in, records
out.
"""

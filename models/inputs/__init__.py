"""Records decoded and validated, their order by event time, and the journal of that order."""

"""HTML, number formats, charts as data and server-sent events."""

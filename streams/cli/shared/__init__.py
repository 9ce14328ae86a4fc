"""Options, tables and terminal output that commands share."""

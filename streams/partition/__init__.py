"""The runner of one partition: intake, `apply`, commit, recovery."""

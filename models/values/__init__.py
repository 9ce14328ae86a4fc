"""Values as a use case names them: lengths of time, local time, numbers and texts within bounds."""

"""Whether schedules are due when they should be, beside a clock that is watched."""

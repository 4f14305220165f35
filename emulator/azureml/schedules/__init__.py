"""Schedules: kept, and fired by a clock that the control can move."""

"""The survey's experiment: trains, evaluates and times many configurations, one row each, and reports on the rows."""

"""The survey's experiment: many configurations trained, evaluated and timed, one row each, and what the rows say."""

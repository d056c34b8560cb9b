"""Tasks, runs, tables and figures. Needs the extra `lrpilot[experiments]`."""

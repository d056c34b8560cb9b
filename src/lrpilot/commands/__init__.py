"""The subcommands of `lrpilot`: they parse, call and print."""

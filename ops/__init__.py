"""The hands: the command line, settings, the local broker, the supervisor, telemetry."""

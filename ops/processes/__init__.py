"""What each long-running process is made of: one module a process, each with `run(settings)`, which ends at SIGTERM."""

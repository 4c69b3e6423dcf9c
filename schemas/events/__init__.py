"""The models of events at the doors, one module a family, generated from the contracts by `make generate`."""

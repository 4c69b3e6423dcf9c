"""The doors: where events come in (HTTP, agency topics) and where figures go out (store, API, formats)."""

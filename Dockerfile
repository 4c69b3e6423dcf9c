# One image for every process of migex; the command says which (docker-compose.yml).
# Pinned by tag, not by digest: a digest is of no use until the image has been pulled and checked once, and the machines
# that build and test this repository can pull none. Put the digest here where images are really built.
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
COPY requirements/runtime.txt /requirements.txt
RUN python -m venv /venv && /venv/bin/python -m pip install --no-deps --require-hashes -r /requirements.txt

FROM python:3.11.14-slim-bookworm
# The four packages are put on the path as they are: an application needs no build step of its own in its image.
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 MIGEX_HOME=/var/lib/migex
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/migex migex
COPY --from=build /venv /venv
COPY schemas /app/schemas
COPY streams /app/streams
COPY connectors /app/connectors
COPY ops /app/ops
USER 10001
WORKDIR /var/lib/migex
VOLUME /var/lib/migex
ENTRYPOINT ["python", "-m", "ops.cli"]
CMD ["--help"]

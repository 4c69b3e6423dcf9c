# One image for every process of migex; the command says which (docker-compose.yml).
# Pinned by tag, not by digest: a digest is of no use until the image has been pulled and checked once, and the machines
# that build and test this repository can pull none. Put the digest here where images are really built.
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
COPY requirements/build.txt requirements/runtime.txt /requirements/
RUN pip install --no-deps --require-hashes -r /requirements/build.txt \
    && python -m venv /venv \
    && /venv/bin/pip install --no-deps --require-hashes -r /requirements/runtime.txt
COPY pyproject.toml README.md LICENSE /source/
COPY schemas /source/schemas
COPY streams /source/streams
COPY connectors /source/connectors
COPY ops /source/ops
COPY migex /source/migex
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels /source \
    && /venv/bin/pip install --no-deps --no-index /wheels/*.whl

FROM python:3.11.14-slim-bookworm
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 MIGEX_HOME=/var/lib/migex
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/migex migex \
    && install --directory --owner 10001 --mode 0700 /etc/migex-kafka /srv/migex-files
COPY --from=build /venv /venv
USER 10001
WORKDIR /var/lib/migex
VOLUME /var/lib/migex
ENTRYPOINT ["migex"]
CMD ["--help"]

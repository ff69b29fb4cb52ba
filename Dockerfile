# syntax=docker/dockerfile:1
# FanDesk Incidents: every role and every command, `docker run fandesk COMMAND`. See docs/deploy.md.

FROM python:3.13-slim-bookworm AS build

WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY domain domain
COPY projections projections
COPY commands commands
COPY api api
COPY workers workers
COPY fandesk fandesk
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .
# Without pip in it, so that nothing that builds or installs is carried on.
RUN python -m venv --without-pip /opt/fandesk \
 && pip --python /opt/fandesk/bin/python install --no-cache-dir /wheels/*.whl


FROM python:3.13-slim-bookworm

LABEL org.opencontainers.image.title="FanDesk Incidents" \
      org.opencontainers.image.description="An event-sourced incident ledger" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"

RUN pip uninstall --yes --root-user-action=ignore pip \
 && groupadd --gid 10001 fandesk \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/fandesk --shell /usr/sbin/nologin fandesk \
 && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/fandesk

COPY --from=build /opt/fandesk /opt/fandesk

ENV PATH=/opt/fandesk/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

USER 10001:10001
WORKDIR /var/lib/fandesk
EXPOSE 8080
STOPSIGNAL SIGTERM
# Of the role api, which runs where no command is named; compose.yaml has the other roles' own.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "fandesk.alive", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["fandesk"]
CMD ["api", "--host", "0.0.0.0"]

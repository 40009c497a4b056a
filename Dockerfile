# An image with the server, MiniLM and the example prefixes.
#
#   docker build -t polyprefix .
#   docker run -p 8000:8000 -v polyprefix:/var/lib/polyprefix polyprefix
#
# Build with DEVICE=cuda to serve from a GPU, and run with --gpus all. TORCH_INDEX_URL is a further
# package index for torch. PyTorch's own index of builds without CUDA makes the image much smaller.
#
# compose.yaml runs the image on one machine, with a read-only file system (docs/deploy-docker.md).

FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/polyprefix
WORKDIR /src
# torch has a layer of its own, because it is large and changes rarely. `==` also accepts its builds
# without CUDA, which pip prefers where an index has them.
COPY constraints.txt ./
RUN /opt/polyprefix/bin/pip install --quiet --constraint constraints.txt \
    ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} torch==2.13.0
COPY pyproject.toml README.md LICENSE ./
COPY prefixes prefixes
COPY server server
COPY training training
COPY client client
RUN /opt/polyprefix/bin/pip install --quiet --constraint constraints.txt '.[minilm,encryption,parquet,tracing,postgres,s3]'
# The compiler stays in this stage. The library runs on every processor of this kind.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN cd / && /opt/polyprefix/bin/python -m prefixes.backbone.native

FROM python:3.11-slim-bookworm
ARG DEVICE=cpu
RUN groupadd --gid 10001 polyprefix \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent polyprefix \
    && install -d -o polyprefix -g polyprefix /var/lib/polyprefix /models
COPY --from=build /opt/polyprefix /opt/polyprefix
COPY examples/prefixes /opt/polyprefix/examples
ENV PATH=/opt/polyprefix/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    HF_HOME=/models/.cache \
    POLYPREFIX_HOST=0.0.0.0 \
    POLYPREFIX_DEVICE=${DEVICE} \
    POLYPREFIX_STORE_FOLDER=/var/lib/polyprefix \
    POLYPREFIX_EXAMPLES_FOLDER=/opt/polyprefix/examples
USER polyprefix
WORKDIR /var/lib/polyprefix
VOLUME ["/var/lib/polyprefix", "/models"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import os, ssl, urllib.request as u; tls = os.environ.get('POLYPREFIX_TLS_CERTIFICATE'); u.urlopen(('https' if tls else 'http') + '://127.0.0.1:' + os.environ.get('POLYPREFIX_PORT', '8000') + '/readyz', timeout=2, context=ssl._create_unverified_context() if tls else None)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["polyprefix"]
CMD ["serve"]

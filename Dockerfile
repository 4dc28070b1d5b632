# One file, two images: `api` has no torch, `worker` has it.
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UNLEARN_HOME=/var/lib/unlearn
RUN useradd --create-home --uid 10001 unlearn && install -d -o unlearn /var/lib/unlearn
WORKDIR /srv/unlearn
COPY pyproject.toml constraints.txt README.md ./
COPY app app
COPY migrations migrations

FROM base AS api
# The packages of the worker are left out of the image, its few lines of source are not: one distribution, two sets of dependencies.
COPY worker worker
RUN pip install -c constraints.txt -e .
USER unlearn
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD \
  ["python", "-c", "import httpx; httpx.get('http://127.0.0.1:8000/readyz', timeout=2).raise_for_status()"]
CMD ["unlearn", "serve", "--host", "0.0.0.0", "--port", "8000"]

FROM base AS worker
# For the Fisher diagonals of large data, which are compiled for the machine's processor.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY worker worker
RUN pip install -c constraints.txt -e '.[worker]'
USER unlearn
CMD ["celery", "-A", "worker.main", "worker", "--pool", "threads", "--concurrency", "1", "--loglevel", "warning"]

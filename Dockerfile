# scenewise in a container, from the wheel; the command is `scenewise serve` unless another verb is given.
#
#   python -m pip wheel --no-deps -w dist .
#   docker build -t scenewise .                                  on the CPU
#   docker build -t scenewise:cuda --build-arg TORCH=cu126 .     with CUDA; run it with: docker run --gpus all ...
#
#   mkdir served
#   docker run --user "$(id -u)" -p 8000:8000 -v "$PWD/served:/data" -e SCENEWISE_TOKEN=... scenewise
#   docker run --user "$(id -u)" -v "$PWD:/data" scenewise batch /data/clips --out /data/out
#
# A folder that is mounted belongs to whoever made it: hence --user, without which files belong to user 1000.
FROM python:3.12-slim

# Which of PyTorch's indexes its wheel comes from: cpu, cu126, ...
ARG TORCH=cpu
ENV PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=PASSIVE HOME=/tmp

# torch by itself, from that index and no other; all else from PyPI. One wheel only: an older one in dist is an error.
COPY dist/scenewise-*.whl /tmp/wheel/
RUN set -- /tmp/wheel/scenewise-*.whl && test "$#" = 1 \
 && pip install --no-cache-dir --index-url "https://download.pytorch.org/whl/${TORCH}" "torch>=2.6,<2.14" \
 && pip install --no-cache-dir "$1[serve,remote,parquet]" \
 && rm -r /tmp/wheel \
 && scenewise --version

RUN useradd --uid 1000 scenewise && mkdir /data && chown scenewise /data
USER scenewise
VOLUME /data
EXPOSE 8000

ENTRYPOINT ["scenewise"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--out", "/data"]

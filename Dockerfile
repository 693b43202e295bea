# scenewise in a container, from the wheel; the command is `scenewise serve` unless another verb is given.
#
#   python -m pip wheel --no-deps -w dist .
#   docker build -t scenewise .                                  on the CPU
#   docker build -t scenewise:cuda --build-arg TORCH=cu126 .     with CUDA; run it with: docker run --gpus all ...
#
#   docker run -p 8000:8000 -v "$PWD/served:/data" -e SCENEWISE_TOKEN=... scenewise
#   docker run -v "$PWD:/data" scenewise batch /data/clips --out /data/out
FROM python:3.12-slim

# Which of PyTorch's indexes its wheel comes from: cpu, cu126, ...
ARG TORCH=cpu
ENV PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=PASSIVE

COPY dist/scenewise-*.whl /tmp/
RUN wheel="$(ls /tmp/scenewise-*.whl)" \
 && pip install --no-cache-dir --extra-index-url "https://download.pytorch.org/whl/${TORCH}" \
      "${wheel}[serve,remote,parquet]" \
 && rm "${wheel}" \
 && scenewise --version

RUN useradd --create-home --uid 1000 scenewise && mkdir /data && chown scenewise /data
USER scenewise
VOLUME /data
EXPOSE 8000

ENTRYPOINT ["scenewise"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--out", "/data"]

# rewardpool as one static program in an image that holds nothing else.
#
#   docker build -t rewardpool .
#   docker run -d --name pool -v rewardpool:/data -p 127.0.0.1:50051:50051 rewardpool
#   docker exec pool /rewardpool draw
#
# tests/container/run builds and runs it without docker, and lints this file.

FROM rust:1.95-bookworm AS build
ARG TARGET=x86_64-unknown-linux-musl
WORKDIR /source
COPY . .
RUN rustup target add "$TARGET" \
 && cargo build --release --locked -p rewardpool-server --bin rewardpool --target "$TARGET" \
 && install -D -m 0755 "target/$TARGET/release/rewardpool" /image/rewardpool \
 && install -D -m 0644 contrib/container/config.yaml /image/etc/rewardpool/config.yaml \
 && install -d -m 0700 /image/data

FROM scratch
# A number, so that whoever runs it can tell that it is not root's.
COPY --from=build --chown=65532:65532 /image/ /
USER 65532:65532
VOLUME ["/data"]
EXPOSE 50051
# SIGTERM lets it finish what is under way, for at most `drain_timeout`.
STOPSIGNAL SIGTERM
# Until it has recovered it does not listen, which is not its fault.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10m --retries=3 \
  CMD ["/rewardpool", "health", "--timeout", "2s"]
ENTRYPOINT ["/rewardpool"]
CMD ["serve", "--config", "/etc/rewardpool/config.yaml"]

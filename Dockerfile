# rewardpool as one static program in an image that holds nothing else.
#
#   docker build -t rewardpool .
#   docker run -d --name pool -v rewardpool:/data -p 127.0.0.1:50051:50051 rewardpool
#   docker exec pool /rewardpool draw
#
# tests/container/run builds and runs it without docker, and lints this file.

FROM rust:1.95-bookworm AS build
SHELL ["/bin/bash", "-eo", "pipefail", "-c"]
WORKDIR /source
COPY . .
# Linked against the C library of this image: musl's is a third slower where a call is a request of its
# own. With a target that is named, only the program is linked so, not what runs while it is built. The
# flags are those of .cargo/config.toml, which the variable replaces, and two more; by the last one random
# numbers come from the kernel without a look for a shared library, or for /dev.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && RUSTFLAGS='-C target-feature=+crt-static --cfg chacha20_avx512 --cfg getrandom_backend="linux_getrandom"' cargo build --release --locked -p rewardpool-server --bin rewardpool --target "$target" \
 && install -D -m 0755 "target/$target/release/rewardpool" /image/rewardpool \
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

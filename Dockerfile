# syntax=docker/dockerfile:1
FROM golang:1.26-bookworm AS build
ARG VERSION=unknown
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN make build VERSION=${VERSION} && mkdir -p /rootfs/data /rootfs/etc/relay

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/bin/relay /relay
COPY --from=build /src/config.yaml /etc/relay/config.yaml
COPY --from=build --chown=65534:65534 /rootfs/data /data
USER 65534:65534
EXPOSE 8060
VOLUME /data
ENTRYPOINT ["/relay"]
CMD ["serve", "--config.file=/etc/relay/config.yaml", "--storage.path=/data"]

# One static program in an empty image, which runs as a user without rights: docs/deploy.md says how to use it.

FROM node:22-alpine AS demo
WORKDIR /coscribe/demo
COPY demo/package.json demo/package-lock.json demo/.npmrc ./
RUN npm ci
COPY demo ./
RUN npm run build

# Its target is musl, so what it builds is static.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache ca-certificates make musl-dev nodejs
WORKDIR /coscribe
COPY . .
COPY --from=demo /coscribe/demo demo
RUN cargo build --release --locked --package coscribe \
    && node packaging/licences.mjs > THIRD-PARTY-LICENCES \
    && mkdir -p /root-of-image/data /root-of-image/tmp /root-of-image/etc/ssl/certs /root-of-image/licences \
    && cp target/release/coscribe /root-of-image/ \
    && cp /etc/ssl/certs/ca-certificates.crt /root-of-image/etc/ssl/certs/ \
    && cp LICENSE-APACHE LICENSE-MIT THIRD-PARTY-LICENCES /root-of-image/licences/ \
    && chown 65532:65532 /root-of-image/data /root-of-image/tmp

FROM scratch
COPY --from=build /root-of-image /
USER 65532:65532
ENV COSCRIBE_LISTEN=0.0.0.0:1234 COSCRIBE_DATA=/data
VOLUME /data
EXPOSE 1234
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=15s --start-period=1m CMD ["/coscribe", "health"]
ENTRYPOINT ["/coscribe"]

# Needs BuildKit (the default of docker, and buildx): it sets BUILDPLATFORM, TARGETOS and TARGETARCH.
#
#   docker build .                     the operator
#   docker build --target emulator .   the Gini emulator

# Go cross-compiles, so the compiler runs on the machine's own architecture whatever the image is for.
FROM --platform=$BUILDPLATFORM golang:1.26 AS builder
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev

WORKDIR /src
# The modules in a layer of their own: they are fetched again only when they change, not with each edit of the code.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ENV CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH}
RUN go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/ ./cmd/manager ./cmd/gini-emulator

# Neither a shell nor a package manager: nothing to update, and nothing for an intruder to use.
FROM gcr.io/distroless/static:nonroot AS emulator
COPY --from=builder /out/gini-emulator /gini-emulator
USER 65532:65532
ENTRYPOINT ["/gini-emulator"]

FROM gcr.io/distroless/static:nonroot AS manager
COPY --from=builder /out/manager /manager
# As numbers, so that the kubelet can check runAsNonRoot.
USER 65532:65532
ENTRYPOINT ["/manager"]

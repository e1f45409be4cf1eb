# The same content as the images of `make images`, for whoever has Docker at hand: the program in hack/images lays out the files in both cases, and a
# test of hack/images holds USER, ENTRYPOINT, LABELs and files of this Dockerfile against those images. The project's own machines have no container
# engine, so they never run the Dockerfile itself. Layers and digests are other ones than those of `make images`.
#
#   docker build .                     the operator
#   docker build --target emulator .   the Gini emulator
#   docker build --target consumer .   the token consumer of the end-to-end test
#
# Needs BuildKit (the default of docker, and buildx): it sets BUILDPLATFORM, TARGETOS and TARGETARCH.

ARG VERSION=dev
# The commit and its time, which files and image bear; make docker-build passes them.
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z

# Go cross-compiles, so the compiler runs on the machine's own architecture whatever the image is for.
FROM --platform=$BUILDPLATFORM golang:1.26 AS sources
WORKDIR /src
# The modules in a layer of their own: they are fetched again only when they change, not with each edit of the code.
COPY go.mod go.sum ./
COPY hack/images/go.mod hack/images/go.sum hack/images/
RUN go mod download && go mod download -C hack/images
COPY . .

FROM sources AS emulator-files
ARG TARGETOS TARGETARCH VERSION REVISION CREATED
RUN go run -C hack/images . rootfs --name emulator --platform ${TARGETOS}/${TARGETARCH} \
    --version ${VERSION} --revision ${REVISION} --created ${CREATED} --out /rootfs

FROM scratch AS emulator
ARG VERSION REVISION CREATED
COPY --from=emulator-files /rootfs/ /
USER 65532:65532
ENTRYPOINT ["/gini-emulator"]
LABEL org.opencontainers.image.title="Gini emulator" \
      org.opencontainers.image.description="Serves what the Gini Pay API and User Center offer for credentials, for tests" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="https://github.com/gini-operator/gini-operator" \
      org.opencontainers.image.licenses="Apache-2.0"

FROM sources AS consumer-files
ARG TARGETOS TARGETARCH VERSION REVISION CREATED
RUN go run -C hack/images . rootfs --name consumer --platform ${TARGETOS}/${TARGETARCH} \
    --version ${VERSION} --revision ${REVISION} --created ${CREATED} --out /rootfs

FROM scratch AS consumer
ARG VERSION REVISION CREATED
COPY --from=consumer-files /rootfs/ /
USER 65532:65532
ENTRYPOINT ["/consumer"]
LABEL org.opencontainers.image.title="Gini token consumer" \
      org.opencontainers.image.description="Uses mounted Gini credentials once a second and counts what Gini answers, for tests" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="https://github.com/gini-operator/gini-operator" \
      org.opencontainers.image.licenses="Apache-2.0"

FROM sources AS operator-files
ARG TARGETOS TARGETARCH VERSION REVISION CREATED
RUN go run -C hack/images . rootfs --name operator --platform ${TARGETOS}/${TARGETARCH} \
    --version ${VERSION} --revision ${REVISION} --created ${CREATED} --out /rootfs

FROM scratch AS operator
ARG VERSION REVISION CREATED
COPY --from=operator-files /rootfs/ /
# As numbers, so that the kubelet can check runAsNonRoot.
USER 65532:65532
ENTRYPOINT ["/manager"]
LABEL org.opencontainers.image.title="Gini operator" \
      org.opencontainers.image.description="Keeps the credentials of Gini users fresh in Kubernetes Secrets" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="https://github.com/gini-operator/gini-operator" \
      org.opencontainers.image.licenses="Apache-2.0"

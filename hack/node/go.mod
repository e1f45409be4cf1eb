// The program that runs a one-node cluster on this machine: a module of its own, so that what it needs is not in the operator.
module github.com/gini-operator/gini-operator/hack/node

go 1.26.0

require (
	github.com/google/go-containerregistry v0.22.1
	golang.org/x/sys v0.47.0
)

require (
	github.com/klauspost/compress v1.19.2 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
)

package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// nobody is a user without rights, as a number: a pod that must not run as root can only be told apart from root by that.
const nobody = "65532:65532"

// writeImage makes an archive of an image that has one static program and nothing else, so that no registry is needed.
func writeImage(archive, reference, program string) error {
	image, err := imageOf(program)
	if err != nil {
		return fmt.Errorf("an image of %s cannot be made: %w", program, err)
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(archive, tag, image)
}

func imageOf(program string) (v1.Image, error) {
	data, err := os.ReadFile(program) //nolint:gosec // built just now
	if err != nil {
		return nil, err
	}
	var files bytes.Buffer
	writer := tar.NewWriter(&files)
	if err = writer.WriteHeader(&tar.Header{Name: "entrypoint", Mode: 0o755, Size: int64(len(data))}); err != nil {
		return nil, err
	}
	if _, err = writer.Write(data); err != nil {
		return nil, err
	}
	if err = writer.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Entrypoint: []string{"/entrypoint"}, User: nobody}
	return mutate.ConfigFile(image, config)
}

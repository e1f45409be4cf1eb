package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// searchPath is what BuildKit gives an image that is made from scratch; nothing in the image needs it.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// labels say what an image is, where registries and scanners look for it.
func labels(p program, r revision) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       p.title,
		"org.opencontainers.image.description": p.description,
		"org.opencontainers.image.version":     r.version,
		"org.opencontainers.image.revision":    r.commit,
		"org.opencontainers.image.created":     r.timestamp(),
		"org.opencontainers.image.source":      sourceURL,
		"org.opencontainers.image.licenses":    license,
	}
}

// imageOf is the image for one platform.
func imageOf(p program, platform string, r revision, files layers) (v1.Image, error) {
	target, err := platformOf(platform)
	if err != nil {
		return nil, err
	}
	var additions []mutate.Addendum
	for _, layer := range []struct {
		what  string
		files []file
	}{{"authorities, user and /tmp", files.base}, {p.path + " and its SBOM", files.program}} {
		content, packErr := archive(layer.files)
		if packErr != nil {
			return nil, packErr
		}
		packed, packErr := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
			tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
		if packErr != nil {
			return nil, fmt.Errorf("layer: %w", packErr)
		}
		additions = append(additions, mutate.Addendum{
			Layer: packed, History: v1.History{Created: v1.Time{Time: r.created}, CreatedBy: "hack/images", Comment: layer.what},
		})
	}
	image, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), additions...)
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = target.OS, target.Architecture, v1.Time{Time: r.created}
	config.Config = v1.Config{
		User: user, Entrypoint: []string{p.path}, WorkingDir: "/", Labels: labels(p, r),
		Env: []string{"PATH=" + searchPath},
	}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	return mutate.Annotations(image, labels(p, r)).(v1.Image), nil
}

// indexOf lists the images of all platforms, so that each node takes its own by one reference.
func indexOf(p program, r revision, images map[string]v1.Image) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range platforms {
		image, ok := images[platform]
		if !ok {
			return nil, fmt.Errorf("the index of %s lacks %s", p.name, platform)
		}
		target, err := platformOf(platform)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: target}})
	}
	return mutate.Annotations(index, labels(p, r)).(v1.ImageIndex), nil
}

// reference names an image without its digest.
func reference(registry string, p program, r revision) string {
	return strings.TrimSuffix(registry, "/") + "/" + p.repository + ":" + r.version
}

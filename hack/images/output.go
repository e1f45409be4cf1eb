package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// build makes the images that were asked for, and writes what to install them by: an archive each for one machine, a layout each for a registry, the
// SBOMs beside them, and images.txt with all references.
func build(ctx context.Context, o *options, out io.Writer) error {
	if o.out == "" {
		o.out = filepath.Join(o.sources, "dist")
	}
	var references strings.Builder
	for _, p := range o.programs {
		reference, err := buildOne(ctx, o, p, out)
		if err != nil {
			return err
		}
		fmt.Fprintln(&references, reference)
	}
	list := filepath.Join(o.out, "images.txt")
	if err := os.WriteFile(list, []byte(references.String()), 0o644); err != nil { //nolint:gosec // nothing in it is secret
		return err
	}
	_, err := fmt.Fprintf(out, "wrote %s\n", list)
	return err
}

// buildOne makes one image and returns its reference with the digest: of the index where all platforms were asked for, else of the image.
func buildOne(ctx context.Context, o *options, p program, out io.Writer) (string, error) {
	folder := filepath.Join(o.out, "images")
	if err := os.MkdirAll(filepath.Join(folder, "sbom"), 0o755); err != nil { //nolint:gosec // nothing in it is secret
		return "", err
	}
	wanted := []string{o.platform}
	if o.all {
		wanted = platforms
	}
	images := map[string]v1.Image{}
	for _, platform := range wanted {
		files, bill, err := contents(ctx, o.sources, p, platform, o.revision)
		if err != nil {
			return "", err
		}
		sbom := filepath.Join(folder, "sbom", p.name+"_"+strings.ReplaceAll(platform, "/", "_")+".spdx.json")
		if err = os.WriteFile(sbom, bill, 0o644); err != nil { //nolint:gosec // nothing in it is secret
			return "", err
		}
		if images[platform], err = imageOf(p, platform, o.revision, files); err != nil {
			return "", err
		}
		if err = tell(out, p.name+" "+platform, images[platform]); err != nil {
			return "", err
		}
	}
	tagged := reference(o.registry, p, o.revision)
	if err := writeArchive(filepath.Join(folder, p.name+".tar"), images[o.platform], tagged); err != nil {
		return "", err
	}
	if !o.all {
		send := func(to name.Reference, with ...remote.Option) error {
			return remote.Write(to, images[o.platform], with...)
		}
		if err := o.pushed(ctx, tagged, send); err != nil {
			return "", err
		}
		return digested(tagged, images[o.platform])
	}
	index, err := indexOf(p, o.revision, images)
	if err != nil {
		return "", err
	}
	if err = tell(out, p.name+" index", index); err != nil {
		return "", err
	}
	if err = writeLayout(filepath.Join(folder, p.name), index, tagged); err != nil {
		return "", err
	}
	send := func(to name.Reference, with ...remote.Option) error { return remote.WriteIndex(to, index, with...) }
	if err = o.pushed(ctx, tagged, send); err != nil {
		return "", err
	}
	return digested(tagged, index)
}

// pushed sends an image or an index to its registry where --push says so, with the credentials that docker login or its like left there.
func (o *options) pushed(ctx context.Context, tagged string, send func(name.Reference, ...remote.Option) error) error {
	if !o.push {
		return nil
	}
	to, err := name.NewTag(tagged)
	if err != nil {
		return err
	}
	return send(to, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
}

// named lets containerd and others find the name of what a layout holds.
func named(tagged string) layout.Option {
	_, tag, _ := strings.Cut(filepath.Base(tagged), ":")
	return layout.WithAnnotations(map[string]string{"io.containerd.image.name": tagged, "org.opencontainers.image.ref.name": tag})
}

// writeLayout writes an index and its images as an OCI layout, in place of what an earlier build left there.
func writeLayout(folder string, index v1.ImageIndex, tagged string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	at, err := layout.Write(folder, empty.Index)
	if err != nil {
		return fmt.Errorf("layout: %w", err)
	}
	if err = at.AppendIndex(index, named(tagged)); err != nil {
		return fmt.Errorf("layout: %w", err)
	}
	return nil
}

// writeArchive writes an image as an archive of an OCI layout, which `ctr images import`, `docker load`, `kind load image-archive` and others take, and
// by which the image keeps its digest.
func writeArchive(path string, image v1.Image, tagged string) (err error) {
	folder, err := os.MkdirTemp("", "gini-image-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	at, err := layout.Write(folder, empty.Index)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	if err = at.AppendImage(image, named(tagged)); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	// By another name at first: who reads a half-written archive gets a puzzling error.
	unfinished, err := os.Create(path + ".part") //nolint:gosec // the one who starts the program names the folder
	if err != nil {
		return err
	}
	err = errors.Join(pack(unfinished, os.DirFS(folder)), unfinished.Close())
	if err != nil {
		return err
	}
	return os.Rename(unfinished.Name(), path)
}

// pack archives a folder's files, without the times at which they were written.
func pack(to io.Writer, folder fs.FS) error {
	w := tar.NewWriter(to)
	err := fs.WalkDir(folder, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(folder, path)
		if err != nil {
			return err
		}
		if err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: 0o644, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// artefact is an image or an index.
type artefact interface{ Digest() (v1.Hash, error) }

func digested(tagged string, a artefact) (string, error) {
	digest, err := a.Digest()
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	return tagged + "@" + digest.String(), nil
}

func tell(out io.Writer, what string, a artefact) error {
	line, err := digested(what, a)
	if err == nil {
		_, err = fmt.Fprintln(out, strings.Replace(line, "@", " ", 1))
	}
	return err
}

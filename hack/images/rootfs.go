package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// User is who the program runs as: nobody in particular, without rights of its own. It is a number, so that the kubelet can check runAsNonRoot, and
// the one that many images without a shell have. Any other UID will do as well: no file belongs to it.
const user = "65532:65532"

// file is a file or a folder of an image. All belong to root, and nobody else may write them.
type file struct {
	// path has no leading slash; that of a folder ends in one.
	path    string
	mode    fs.FileMode
	content []byte
	changed time.Time
}

func (f file) isFolder() bool { return strings.HasSuffix(f.path, "/") }

// layers are the files in two layers: nodes that run several of the images, or several versions, keep the first one once.
type layers struct{ base, program []file }

// baseFiles are what all programs need: whom to trust, who the user is, and where temporary files go. There is neither a shell nor a package
// manager: nothing to update, and nothing for an intruder to use.
func baseFiles(changed time.Time) []file {
	files := []file{
		{path: "etc/", mode: 0o755},
		{path: "etc/group", mode: 0o644, content: []byte("root:x:0:\nnonroot:x:65532:\n")},
		{path: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n")},
		{path: "etc/ssl/", mode: 0o755},
		{path: "etc/ssl/certs/", mode: 0o755},
		{path: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: certificates()},
		{path: "tmp/", mode: 0o777 | fs.ModeSticky},
	}
	for i := range files {
		files[i].changed = changed
	}
	return files
}

// programFiles are the program and its SBOM.
func programFiles(p program, changed time.Time, binary, bill []byte) []file {
	files := []file{
		{path: strings.TrimPrefix(p.path, "/"), mode: 0o755, content: binary},
		{path: "usr/", mode: 0o755},
		{path: "usr/share/", mode: 0o755},
		{path: "usr/share/sbom/", mode: 0o755},
		{path: "usr/share/sbom/" + p.name + ".spdx.json", mode: 0o644, content: bill},
	}
	for i := range files {
		files[i].changed = changed
	}
	return files
}

// archive is a layer: the files in a tar archive that says nothing of the machine it was made on.
func archive(files []file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.path, Mode: int64(f.mode.Perm()), Size: int64(len(f.content)), ModTime: f.changed, Format: tar.FormatPAX,
		}
		if f.isFolder() {
			header.Typeflag = tar.TypeDir
		}
		if f.mode&fs.ModeSticky != 0 {
			header.Mode |= 0o1000
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	return out.Bytes(), nil
}

// writeFolder lays the files out in a folder, which must not be there yet or be empty.
func writeFolder(folder string, files []file) error {
	if there, err := os.ReadDir(folder); err == nil && len(there) > 0 {
		return fmt.Errorf("%s is not empty", folder)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // in the image, everybody may read it
		return err
	}
	for _, f := range files {
		path := filepath.Join(folder, filepath.FromSlash(f.path))
		if f.isFolder() {
			if err := os.Mkdir(path, 0o755); err != nil { //nolint:gosec // the same
				return err
			}
			continue
		}
		if err := os.WriteFile(path, f.content, f.mode.Perm()); err != nil { //nolint:gosec // the paths are those of baseFiles and programFiles
			return err
		}
	}
	// Only now: a file that is written into a folder changes the folder's time. The umask must not matter, either.
	var failed []error
	for _, f := range files {
		path := filepath.Join(folder, filepath.FromSlash(f.path))
		failed = append(failed, os.Chmod(path, f.mode), os.Chtimes(path, f.changed, f.changed)) //nolint:gosec // the same
	}
	return errors.Join(failed...)
}

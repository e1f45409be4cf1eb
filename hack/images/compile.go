package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// settled are the variables that change what the compiler makes: a developer's own would make another digest. The processors are the oldest that Go
// supports, so that no node is too old.
var settled = []string{
	"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOEXPERIMENT=", "GODEBUG=", "GOFIPS140=off", "GOAMD64=v1", "GOARM64=v8.0", "GOPPC64=power8",
}

// platformOf reads os/architecture.
func platformOf(name string) (*v1.Platform, error) {
	if !slices.Contains(platforms, name) {
		return nil, fmt.Errorf("images are not built for %q: the platforms are %s", name, strings.Join(platforms, ", "))
	}
	system, architecture, _ := strings.Cut(name, "/")
	return &v1.Platform{OS: system, Architecture: architecture}, nil
}

// compile builds a program as `make build` does, for any platform.
func compile(ctx context.Context, sources string, p program, platform string, r revision) (binary []byte, err error) {
	target, err := platformOf(platform)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "gini-image-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	file := filepath.Join(folder, "program")
	//nolint:gosec // the program's folder is one of three, and the version passed the check for tags
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+r.version,
		"-o", file, "./"+p.folder)
	command.Dir = sources
	command.Env = append(os.Environ(), append(settled, "GOOS="+target.OS, "GOARCH="+target.Architecture)...)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	if err = command.Run(); err != nil {
		return nil, fmt.Errorf("building %s for %s: %w\n%s", p.folder, platform, err, bytes.TrimSpace(complaint.Bytes()))
	}
	return os.ReadFile(file) //nolint:gosec // the file was just made
}

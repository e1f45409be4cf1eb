// Package crd holds the CustomResourceDefinitions of GiniClient and GiniUser, for the operator, which tells where a cluster has older ones,
// and for Go programs that install them, as in tests with envtest.
package crd

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed bases/*.yaml
var bases embed.FS

// Manifests are the definitions as YAML documents, in one text that kubectl apply takes.
func Manifests() (string, error) {
	documents, err := Documents()
	return strings.Join(documents, ""), err
}

// Documents are the definitions as YAML, one each.
func Documents() ([]string, error) {
	names, err := fs.Glob(bases, "bases/*.yaml")
	if err != nil {
		return nil, err
	}
	documents := make([]string, 0, len(names))
	for _, name := range names {
		content, err := fs.ReadFile(bases, name)
		if err != nil {
			return nil, fmt.Errorf("the definitions built into this program cannot be read: %w", err)
		}
		documents = append(documents, string(content))
	}
	return documents, nil
}

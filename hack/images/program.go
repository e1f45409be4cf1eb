package main

import (
	"fmt"
	"slices"
	"strings"
)

// program is one of the repository's programs, and what its image is called.
type program struct {
	// name is what the files in dist/images are called.
	name string
	// folder is the package, from the repository's root.
	folder string
	// path is where the program stands in the image.
	path string
	// repository is the last part of the image's reference.
	repository string
	// title and description are for people who look at the image in a registry.
	title, description string
}

var programs = []program{
	{
		name: "operator", folder: "cmd/manager", path: "/manager", repository: "gini-operator",
		title: "Gini operator", description: "Keeps the credentials of Gini users fresh in Kubernetes Secrets",
	},
	{
		name: "emulator", folder: "cmd/gini-emulator", path: "/gini-emulator", repository: "gini-emulator",
		title: "Gini emulator", description: "Serves what the Gini Pay API and User Center offer for credentials, for tests",
	},
	{
		name: "consumer", folder: "test/e2e/consumer", path: "/consumer", repository: "gini-consumer",
		title: "Gini token consumer", description: "Uses mounted Gini credentials once a second and counts what Gini answers, for tests",
	},
}

// programsCalled finds programs by their names; all of them where no name is given.
func programsCalled(names string) ([]program, error) {
	if names == "" {
		return programs, nil
	}
	var found []program
	for name := range strings.SplitSeq(names, ",") {
		at := slices.IndexFunc(programs, func(p program) bool { return p.name == name })
		if at < 0 {
			return nil, fmt.Errorf("there is no image %q: the names are operator, emulator and consumer", name)
		}
		found = append(found, programs[at])
	}
	return found, nil
}

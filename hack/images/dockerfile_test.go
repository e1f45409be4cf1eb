package main

import (
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// instruction is one of a Dockerfile.
type instruction struct{ word, rest string }

// stagesOf reads the Dockerfile: the instructions of each stage, by its name.
func stagesOf(t *testing.T) (stages map[string][]instruction, last string) {
	t.Helper()
	content, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(content), "")
	text = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, "")
	stages = map[string][]instruction{}
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "FROM" {
			fields := strings.Fields(rest)
			last = fields[len(fields)-1]
		}
		if word != "" {
			stages[last] = append(stages[last], instruction{word, rest})
		}
	}
	return stages, last
}

// arguments are what the builds of these tests are given as build arguments.
var arguments = strings.NewReplacer("${VERSION}", testVersion, "${REVISION}", testCommit, "${CREATED}", testCreated,
	"${TARGETOS}/${TARGETARCH}", machine())

// TestDockerfile: where Docker is at hand, it makes the same content. What it would do is done here: its command for the files is run, and they are
// compared with those of the image.
func TestDockerfile(t *testing.T) {
	stages, last := stagesOf(t)
	if last != "operator" {
		t.Errorf("docker build makes the %s where nothing else is said", last)
	}
	folder, _ := built(t, "--platform", machine())
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			image, _ := imageIn(t, filepath.Join(folder, "images", p.name+".tar"))
			config, err := image.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			var entrypoint []string
			user, labels := "", map[string]string{}
			for _, i := range stages[p.name] {
				switch i.word {
				case "FROM":
					if i.rest != "scratch AS "+p.name {
						t.Errorf("FROM %s", i.rest)
					}
				case "ARG":
				case "COPY":
					if i.rest != "--from="+p.name+"-files /rootfs/ /" {
						t.Errorf("COPY %s", i.rest)
					}
				case "USER":
					user = i.rest
				case "ENTRYPOINT":
					if err := json.Unmarshal([]byte(i.rest), &entrypoint); err != nil {
						t.Error(err)
					}
				case "LABEL":
					for _, label := range regexp.MustCompile(`(\S+)="([^"]*)"`).FindAllStringSubmatch(i.rest, -1) {
						labels[label[1]] = arguments.Replace(label[2])
					}
				default:
					t.Errorf("what does %s do to the image?", i.word)
				}
			}
			if user != config.Config.User || !slices.Equal(entrypoint, config.Config.Entrypoint) || !maps.Equal(labels, config.Config.Labels) {
				t.Errorf("USER %s, ENTRYPOINT %q, LABEL %v; the image has %+v", user, entrypoint, labels, config.Config)
			}
			compare(t, laidOut(t, stages[p.name+"-files"]), filesOf(t, image))
		})
	}
}

// laidOut runs the command by which the Dockerfile makes the files.
func laidOut(t *testing.T, stage []instruction) map[string]entry {
	t.Helper()
	at := slices.IndexFunc(stage, func(i instruction) bool { return i.word == "RUN" })
	if at < 0 {
		t.Fatal("nothing makes the files")
	}
	command, ok := strings.CutPrefix(arguments.Replace(stage[at].rest), "go run -C hack/images . ")
	command, out := strings.CutSuffix(command, " --out /rootfs")
	if !ok || !out {
		t.Fatalf("RUN %s", stage[at].rest)
	}
	folder := filepath.Join(t.TempDir(), "rootfs")
	if err := run(t.Context(), append(strings.Fields(command), "--out", folder), io.Discard); err != nil {
		t.Fatal(err)
	}
	found := map[string]entry{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.ModTime().Equal(created) {
			t.Errorf("%s is of %s", path, info.ModTime())
		}
		var content []byte
		if !d.IsDir() {
			content, err = os.ReadFile(path)
		}
		relative, _ := filepath.Rel(folder, path)
		found[relative] = entry{info.Mode(), string(content)}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func compare(t *testing.T, docker, ours map[string]entry) {
	t.Helper()
	for path := range ours {
		if _, ok := docker[path]; !ok {
			t.Errorf("%s is not in Docker's image", path)
		}
	}
	for path, f := range docker {
		if f != ours[path] {
			t.Errorf("%s: %s, %d bytes; the image has %s, %d bytes", path, f.mode, len(f.content), ours[path].mode, len(ours[path].content))
		}
	}
}

// TestDockerignore: Docker sees all that the images are built from.
func TestDockerignore(t *testing.T) {
	content, err := os.ReadFile("../../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{
		"!go.mod", "!go.sum", "!cmd/**/*.go", "!pkg/**/*.go", "!hack/images/go.mod", "!hack/images/go.sum", "!hack/images/*.go", "!test/e2e/consumer/*.go",
	} {
		if !slices.Contains(strings.Split(string(content), "\n"), pattern) {
			t.Errorf(".dockerignore lacks %s", pattern)
		}
	}
}

package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"debug/elf"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const (
	testVersion = "v1.2.3-test"
	testCommit  = "0123456789abcdef0123456789abcdef01234567"
	testCreated = "2026-01-02T03:04:05Z"
)

var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// built runs the program with what every build of these tests is given, and gives its folder and what it wrote.
func built(t *testing.T, arguments ...string) (folder, output string) {
	t.Helper()
	folder = t.TempDir()
	var out bytes.Buffer
	given := []string{"build", "--out", folder, "--version", testVersion, "--revision", testCommit, "--created", testCreated}
	if err := run(t.Context(), append(given, arguments...), &out); err != nil {
		t.Fatal(err)
	}
	return folder, out.String()
}

// imageIn is the image in an archive, and the descriptor by which the archive names it.
func imageIn(t *testing.T, path string) (v1.Image, v1.Descriptor) {
	t.Helper()
	folder := t.TempDir()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for header, content := range entries(t, f) {
		file := filepath.Join(folder, header.Name)
		if err = errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%+v, %v", manifest, err)
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return image, manifest.Manifests[0]
}

// entries goes through a tar archive.
func entries(t *testing.T, archive io.Reader) func(func(*tar.Header, []byte) bool) {
	t.Helper()
	return func(yield func(*tar.Header, []byte) bool) {
		for r := tar.NewReader(archive); ; {
			header, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if !yield(header, content) {
				return
			}
		}
	}
}

// entry is a file of an image, as far as a container can see it.
type entry struct {
	mode    fs.FileMode
	content string
}

// filesOf are the files of an image, once it is seen that they say nothing of the machine.
func filesOf(t *testing.T, image v1.Image) map[string]entry {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]entry{}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for header, body := range entries(t, content) {
			if header.Uid != 0 || header.Gid != 0 || header.Uname != "" || header.Gname != "" || !header.ModTime.Equal(created) {
				t.Errorf("%s says more than it should: %+v", header.Name, header)
			}
			path := strings.TrimSuffix(header.Name, "/")
			if _, twice := found[path]; twice {
				t.Errorf("%s is there twice", path)
			}
			found[path] = entry{header.FileInfo().Mode(), string(body)}
		}
		content.Close()
	}
	return found
}

func machine() string { return "linux/" + runtime.GOARCH }

// TestR5_4Contents: an image holds what it should and nothing else, runs as a user that the kubelet can check, and says what it is.
func TestR5_4Contents(t *testing.T) {
	folder, output := built(t, "--platform", machine())
	list, err := os.ReadFile(filepath.Join(folder, "images.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			image, descriptor := imageIn(t, filepath.Join(folder, "images", p.name+".tar"))
			if err := validate.Image(image); err != nil {
				t.Error(err)
			}
			reference := "ghcr.io/gini-operator/" + p.repository + ":" + testVersion
			if got := descriptor.Annotations["io.containerd.image.name"]; got != reference {
				t.Errorf("the archive calls it %s", got)
			}
			if !strings.Contains(string(list), reference+"@"+descriptor.Digest.String()+"\n") {
				t.Errorf("images.txt lacks %s:\n%s", descriptor.Digest, list)
			}
			if !strings.Contains(output, descriptor.Digest.String()) {
				t.Errorf("the digest is not printed:\n%s", output)
			}
			files := filesOf(t, image)
			wantFiles(t, p, files)
			wantConfig(t, p, image)
			bill, err := os.ReadFile(filepath.Join(folder, "images", "sbom", p.name+"_linux_"+runtime.GOARCH+".spdx.json"))
			if err != nil {
				t.Fatal(err)
			}
			if string(bill) != files["usr/share/sbom/"+p.name+".spdx.json"].content {
				t.Error("the SBOM beside the image is not the one in it")
			}
			wantBill(t, p, bill, files[strings.TrimPrefix(p.path, "/")].content)
			wantStart(t, p, files[strings.TrimPrefix(p.path, "/")].content)
		})
	}
}

func wantFiles(t *testing.T, p program, files map[string]entry) {
	t.Helper()
	want := map[string]fs.FileMode{
		"etc": fs.ModeDir | 0o755, "etc/group": 0o644, "etc/passwd": 0o644, "etc/ssl": fs.ModeDir | 0o755, "etc/ssl/certs": fs.ModeDir | 0o755,
		"etc/ssl/certs/ca-certificates.crt": 0o644, "tmp": fs.ModeDir | fs.ModeSticky | 0o777,
		"usr": fs.ModeDir | 0o755, "usr/share": fs.ModeDir | 0o755, "usr/share/sbom": fs.ModeDir | 0o755,
		"usr/share/sbom/" + p.name + ".spdx.json": 0o644, strings.TrimPrefix(p.path, "/"): 0o755,
	}
	for path, f := range files {
		if mode, ok := want[path]; !ok || mode != f.mode {
			t.Errorf("%s: %s; wanted %s", path, f.mode, mode)
		}
	}
	if len(files) != len(want) {
		t.Errorf("%d files; wanted %d", len(files), len(want))
	}
	if !strings.Contains(files["etc/passwd"].content, ":65532:65532:") || !strings.Contains(files["etc/group"].content, ":65532:") {
		t.Error("the user has no name")
	}
}

func wantConfig(t *testing.T, p program, image v1.Image) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{p.path}) || len(config.Config.Cmd) != 0 {
		t.Errorf("user %s, entrypoint %q, arguments %q", config.Config.User, config.Config.Entrypoint, config.Config.Cmd)
	}
	if config.OS+"/"+config.Architecture != machine() || !config.Created.Equal(created) || config.Author+config.Container != "" {
		t.Errorf("%+v", config)
	}
	for _, said := range []map[string]string{config.Config.Labels, manifest.Annotations} {
		for label, want := range map[string]string{
			"title": p.title, "description": p.description, "version": testVersion, "revision": testCommit, "created": testCreated,
			"source": "https://github.com/gini-operator/gini-operator", "licenses": "Apache-2.0",
		} {
			if got := said["org.opencontainers.image."+label]; got != want || want == "" {
				t.Errorf("%s is %q, not %q", label, got, want)
			}
		}
		if len(said) != 7 {
			t.Errorf("%d labels: %v", len(said), said)
		}
	}
}

// wantStart starts the program, which shows that it needs nothing that is not in the image, and that it knows its version where it tells it.
func wantStart(t *testing.T, p program, binary string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte(binary), 0o700); err != nil {
		t.Fatal(err)
	}
	argument, want := "--version", testVersion
	if p.name == "emulator" {
		argument, want = "--help", "token-lifetime"
	}
	command := exec.CommandContext(t.Context(), path, argument)
	command.Env = []string{}
	if out, err := command.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%s: %v\n%s", argument, err, out)
	}
}

// TestReproducible: another folder, another umask, another zone and a developer's own settings of Go make the same bytes.
func TestReproducible(t *testing.T) {
	first, _ := built(t, "--platform", "linux/amd64")

	elsewhere := copied(t)
	t.Setenv("GOFLAGS", "-tags=anything")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("GOWORK", filepath.Join(elsewhere, "go.work"))
	t.Setenv("TZ", "Pacific/Auckland")
	t.Setenv("SOURCE_DATE_EPOCH", "1")
	umask := syscall.Umask(0o077)
	defer syscall.Umask(umask)
	second, _ := built(t, "--platform", "linux/amd64", "--sources", elsewhere)

	compared := 0
	for path, content := range all(t, second) {
		compared++
		if was := all(t, first)[path]; was != content {
			t.Errorf("%s differs: %d and %d bytes", path, len(was), len(content))
		}
	}
	if want := 2*len(programs) + 1; compared != want { // archives, SBOMs and images.txt
		t.Errorf("compared %d files; wanted %d", compared, want)
	}
}

// copied is the repository's code in another folder, newer than the original.
func copied(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for _, part := range []string{"go.mod", "go.sum", "api", "cmd", "config", "internal", "pkg", "test/e2e/consumer"} {
		from, to := filepath.Join("..", "..", part), filepath.Join(folder, part)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if info, _ := os.Stat(from); info != nil && info.IsDir() {
			err = os.CopyFS(to, os.DirFS(from))
		} else {
			var content []byte
			if content, err = os.ReadFile(from); err == nil {
				err = os.WriteFile(to, content, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// all are the files in a folder.
func all(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		found[strings.TrimPrefix(path, folder)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestR14_1Platforms: one index names the images of all platforms, each holds a static program for its own, and a registry takes them.
// The smallest program stands for all: the others differ in what is compiled only.
func TestR14_1Platforms(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	prefix := strings.TrimPrefix(server.URL, "http://") + "/gini"
	folder, _ := built(t, "--all", "--name", "consumer", "--platform", machine(), "--registry", prefix, "--push")
	list, err := os.ReadFile(filepath.Join(folder, "images.txt"))
	if err != nil {
		t.Fatal(err)
	}
	tagged, digest, _ := strings.Cut(strings.TrimSpace(string(list)), "@")
	if want := prefix + "/gini-consumer:" + testVersion; tagged != want {
		t.Errorf("images.txt says %s, not %s", tagged, want)
	}
	wanted, err := v1.NewHash(digest)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := layout.ImageIndexFromPath(filepath.Join(folder, "images", "consumer"))
	if err != nil {
		t.Fatal(err)
	}
	written, err := outer.ImageIndex(wanted)
	if err != nil {
		t.Fatal(err)
	}
	to, err := name.NewTag(tagged)
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Index(to, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := pulled.Digest(); got != wanted {
		t.Errorf("the registry has %s, not %s", got, wanted)
	}
	if err = errors.Join(validate.Index(written), validate.Index(pulled)); err != nil {
		t.Error(err)
	}
	machines := map[string]elf.Machine{
		"linux/amd64": elf.EM_X86_64, "linux/arm64": elf.EM_AARCH64, "linux/s390x": elf.EM_S390, "linux/ppc64le": elf.EM_PPC64,
	}
	manifest, err := written.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, descriptor := range manifest.Manifests {
		platform := descriptor.Platform.String()
		want, ok := machines[platform]
		delete(machines, platform)
		image, err := written.Image(descriptor.Digest)
		if !ok || err != nil {
			t.Errorf("%s: %v", platform, err)
			continue
		}
		wantStatic(t, platform, filesOf(t, image)["consumer"].content, want)
		if config, err := image.ConfigFile(); err != nil || config.OS+"/"+config.Architecture != platform || config.Config.User != user {
			t.Errorf("%s: %+v, %v", platform, config, err)
		}
		if _, err := os.Stat(filepath.Join(folder, "images", "sbom", "consumer_"+strings.ReplaceAll(platform, "/", "_")+".spdx.json")); err != nil {
			t.Error(err)
		}
	}
	if len(machines) > 0 {
		t.Errorf("the index lacks %v", machines)
	}
}

func wantStatic(t *testing.T, platform, binary string, machine elf.Machine) {
	t.Helper()
	program, err := elf.NewFile(strings.NewReader(binary))
	if err != nil {
		t.Error(platform, err)
		return
	}
	for _, part := range program.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("%s: the program needs libraries that the image lacks", platform)
		}
	}
	if program.Machine != machine {
		t.Errorf("%s: the program is for %s", platform, program.Machine)
	}
}

// TestCertificates: programs trust the authorities by the file as it is.
func TestCertificates(t *testing.T) {
	count := 0
	for block, rest := pem.Decode(certificates()); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Error(err)
		}
		count++
	}
	if pool := x509.NewCertPool(); count < 100 || !pool.AppendCertsFromPEM(certificates()) {
		t.Errorf("%d authorities", count)
	}
}

// TestRevision: the time is the one asked for, else that of SOURCE_DATE_EPOCH, else the commit's.
func TestRevision(t *testing.T) {
	epoch := func(value string) func(string) string {
		return func(name string) string { return map[string]string{"SOURCE_DATE_EPOCH": value}[name] }
	}
	commit, err := git(t.Context(), ".", "log", "-1", "--format=%ct")
	if err != nil {
		t.Skip("not in a git repository: ", err)
	}
	for _, tc := range []struct{ created, epoch, want string }{
		{"2026-01-02T05:04:05+02:00", "1", fmt.Sprint(created.Unix())}, {"", "86400", "86400"}, {"", "", commit},
	} {
		r := revision{version: "v1"}
		if err := r.complete(t.Context(), ".", tc.created, epoch(tc.epoch)); err != nil || fmt.Sprint(r.created.Unix()) != tc.want || len(r.commit) < 40 {
			t.Errorf("%+v: %+v, %v", tc, r, err)
		}
		if r.created.Location() != time.UTC {
			t.Error("an image bears the machine's time zone")
		}
	}
	for _, tc := range []struct{ version, created, epoch string }{{"a/b", "", ""}, {"v1", "yesterday", ""}, {"v1", "", "now"}} {
		if err := (&revision{version: tc.version}).complete(t.Context(), ".", tc.created, epoch(tc.epoch)); err == nil {
			t.Errorf("accepted: %+v", tc)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, arguments := range [][]string{
		{"bulid"}, {"--name", "operator,unknown"}, {"--platform", "linux/386"}, {"more", "--all"}, {"build", "more"},
		{"rootfs", "--name", "operator"}, {"rootfs", "--out", t.TempDir()}, {"rootfs", "--name", "consumer", "--out", "."},
	} {
		if err := run(t.Context(), arguments, io.Discard); err == nil {
			t.Errorf("accepted: %q", arguments)
		}
	}
}

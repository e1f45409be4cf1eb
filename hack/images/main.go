// Command images builds the container images of this repository without a container engine: static programs, cross-compiled, in layers
// that are the same bytes whenever and wherever one commit is built with one Go. `make images` runs it. The Dockerfile lets it lay out the files,
// so that both make the same content.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

const usage = `images builds the container images of this repository without a container engine.

  images [build] [flags]   write dist/images/<name>.tar for one platform; with --all also dist/images/<name>/ for all of them
  images rootfs [flags]    write the files of one image into a folder, as the Dockerfile needs them

Flags:
`

// platforms are those of R14.1: whoever runs Kubernetes on one of them runs the operator too.
var platforms = []string{"linux/amd64", "linux/arm64", "linux/s390x", "linux/ppc64le"}

// options are the flags.
type options struct {
	sources, out, registry, platform string
	programs                         []program
	all, push                        bool
	revision                         revision
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string, out io.Writer) error {
	command := "build"
	if len(arguments) > 0 && !strings.HasPrefix(arguments[0], "-") {
		command, arguments = arguments[0], arguments[1:]
	}
	if command != "build" && command != "rootfs" {
		return fmt.Errorf("there is no command %q: it is build (the default) or rootfs", command)
	}
	o, err := parse(ctx, arguments, out)
	if err != nil {
		return err
	}
	if command == "rootfs" {
		return layOut(ctx, o)
	}
	return build(ctx, o, out)
}

func parse(ctx context.Context, arguments []string, out io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		_, _ = io.WriteString(out, usage)
		flags.PrintDefaults()
	}
	var names, created string
	flags.StringVar(&o.sources, "sources", "../..", "`folder` of the repository")
	flags.StringVar(&o.out, "out", "", "`folder` to write to (default dist in the repository; rootfs has no default)")
	flags.StringVar(&names, "name", "", "`names` of the images, separated by commas: operator, emulator, consumer (default all)")
	flags.StringVar(&o.platform, "platform", "linux/"+runtime.GOARCH, "`platform` to build for: one of "+strings.Join(platforms, ", "))
	flags.BoolVar(&o.all, "all", false, "build for all platforms")
	flags.StringVar(&o.registry, "registry", "ghcr.io/gini-operator", "`prefix` of the images' references")
	flags.BoolVar(&o.push, "push", false, "push what was built to the registry, with the credentials of docker login")
	flags.StringVar(&o.revision.version, "version", "", "`version` of the programs, and the tag (default what git describe says)")
	flags.StringVar(&o.revision.commit, "revision", "", "`commit` that is built (default that of the repository)")
	flags.StringVar(&created, "created", "", "`time` that files and images bear, in RFC 3339 (default $SOURCE_DATE_EPOCH, else the commit's)")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("argument %q is not understood (see --help)", flags.Arg(0))
	}
	var err error
	if o.programs, err = programsCalled(names); err != nil {
		return nil, err
	}
	if _, err = platformOf(o.platform); err != nil {
		return nil, err
	}
	if o.sources, err = filepath.Abs(o.sources); err != nil {
		return nil, err
	}
	return o, o.revision.complete(ctx, o.sources, created, os.Getenv)
}

// layOut writes the files of one image into a folder.
func layOut(ctx context.Context, o *options) error {
	if len(o.programs) != 1 || o.out == "" {
		return errors.New("rootfs makes one image's files: name it by --name, and their folder by --out")
	}
	files, _, err := contents(ctx, o.sources, o.programs[0], o.platform, o.revision)
	if err != nil {
		return err
	}
	return writeFolder(o.out, append(files.base, files.program...))
}

// contents are the files of an image, and the SBOM that is among them.
func contents(ctx context.Context, sources string, p program, platform string, r revision) (layers, []byte, error) {
	binary, err := compile(ctx, sources, p, platform, r)
	if err != nil {
		return layers{}, nil, err
	}
	bill, err := billOfMaterials(p, platform, r, binary)
	if err != nil {
		return layers{}, nil, err
	}
	return layers{base: baseFiles(r.created), program: programFiles(p, r.created, binary, bill)}, bill, nil
}

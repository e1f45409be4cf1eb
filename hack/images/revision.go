package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// revision says what is built. All that an image tells of itself follows from it, so that it is the same however often it is built.
type revision struct {
	version, commit string
	created         time.Time
}

// tag is what registries allow as a tag; the version becomes one.
var tag = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// complete finds out what was not given: the time by SOURCE_DATE_EPOCH, as reproducible builds have agreed on, and the rest by git.
func (r *revision) complete(ctx context.Context, sources, created string, getenv func(string) string) error {
	var err error
	if r.version == "" {
		if r.version, err = git(ctx, sources, "describe", "--tags", "--always", "--dirty"); err != nil {
			return fmt.Errorf("say by --version what is built: %w", err)
		}
	}
	if !tag.MatchString(r.version) {
		return fmt.Errorf("version %q cannot be the tag of an image", r.version)
	}
	if r.commit == "" {
		if r.commit, err = git(ctx, sources, "rev-parse", "HEAD"); err != nil {
			return fmt.Errorf("say by --revision which commit is built: %w", err)
		}
	}
	if created != "" {
		if r.created, err = time.Parse(time.RFC3339, created); err != nil {
			return fmt.Errorf("--created: %w", err)
		}
		r.created = r.created.UTC()
		return nil
	}
	epoch := getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		if epoch, err = git(ctx, sources, "log", "-1", "--format=%ct"); err != nil {
			return fmt.Errorf("say by --created or SOURCE_DATE_EPOCH which time the image bears: %w", err)
		}
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	r.created = time.Unix(seconds, 0).UTC()
	return nil
}

func (r *revision) timestamp() string { return r.created.Format(time.RFC3339) }

func git(ctx context.Context, folder string, arguments ...string) (string, error) {
	//nolint:gosec // the one who starts the program names the folder
	command := exec.CommandContext(ctx, "git", append([]string{"-C", folder}, arguments...)...)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", arguments[0], err, bytes.TrimSpace(complaint.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}

// Package tokenfiletest writes Secrets into folders as the kubelet mounts them, for tests of programs that read them there.
package tokenfiletest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const dataLink, newDataLink = "..data", "..data_tmp"

// AccessToken is what the operator writes into an untrusted device's Secret.
func AccessToken(token string, expiresAt time.Time) map[string]string {
	return map[string]string{
		"access_token":  token,
		"token_type":    "Bearer",
		"expires_at":    expiresAt.UTC().Format(time.RFC3339),
		"authorization": "Bearer " + token,
	}
}

// JWT is what the operator writes into the Secret of a trusted device with JWT.
func JWT(jwt string, expiresAt time.Time) map[string]string {
	return map[string]string{
		"jwt":                 jwt,
		"jwt_expires_at":      expiresAt.UTC().Format(time.RFC3339),
		"x_jwt_authorization": "Bearer " + jwt,
	}
}

// Write puts a Secret's data into dir in the steps of the kubelet: a new folder with all files, the link ..data replaced in one step, links
// through it for each file, and the former folder removed. One goroutine may write to a folder at a time, as there is one kubelet.
func Write(dir string, data map[string]string) error {
	former, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	folder, err := os.MkdirTemp(dir, time.Now().UTC().Format("..2006_01_02_15_04_05."))
	if err != nil {
		return err
	}
	if err := fill(folder, data); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Base(folder), filepath.Join(dir, newDataLink)); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, newDataLink), filepath.Join(dir, dataLink)); err != nil {
		return err
	}
	if err := link(dir, data); err != nil {
		return err
	}
	if former == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(dir, former))
}

// fill writes the files of one generation.
func fill(folder string, data map[string]string) error {
	if err := os.Chmod(folder, 0o755); err != nil { //nolint:gosec // as the kubelet has it: pods run under any user
		return err
	}
	for name, text := range data {
		if name != filepath.Base(name) || strings.HasPrefix(name, "..") {
			return fmt.Errorf("%q cannot be a key of a Secret", name)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil { //nolint:gosec // as above
			return err
		}
	}
	return nil
}

// link sees to it that dir has a link for each file, and none for others.
func link(dir string, data map[string]string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	linked := map[string]bool{}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, "..") {
			continue
		}
		if _, wanted := data[name]; wanted {
			linked[name] = true
		} else if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for name := range data {
		if linked[name] {
			continue
		}
		if err := os.Symlink(filepath.Join(dataLink, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

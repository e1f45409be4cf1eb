package tokenfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gini-operator/gini-operator/internal/secret"
)

const (
	// dataLink is the symbolic link that the kubelet replaces, in one step, when the Secret has changed.
	dataLink = "..data"
	// maxFileSize is far more than any HTTP server takes as a header.
	maxFileSize = 64 << 10
	// maxAttempts is how often a read begins anew because the kubelet replaced the files meanwhile. Once a minute is often for a kubelet.
	maxAttempts = 10

	defaultType = "Bearer"
)

// generation is the folder in which all files are of one write of the Secret. The kubelet makes a new folder for each and points ..data to it;
// the files in dir are links through ..data, so that two of them, read one after the other, may be of two writes.
//
// Where there is no ..data, dir may still be a folder of a projected volume, which is such a link itself. Otherwise these are plain files, as on
// a developer's machine.
func generation(dir string) (string, error) {
	link := filepath.Join(dir, dataLink)
	if _, err := os.Lstat(link); errors.Is(err, fs.ErrNotExist) {
		link = dir
	}
	folder, err := filepath.EvalSymlinks(link)
	if err != nil {
		return "", readError(dir, err)
	}
	return folder, nil
}

// immutable tells whether a folder is one that the kubelet made: their names begin with two dots and a date, no name comes twice, and nothing
// in them changes.
func immutable(folder string) bool {
	return strings.Contains(folder, string(filepath.Separator)+"..")
}

// replaced tells whether a read failed because the kubelet removed the folder, having made another.
func replaced(dir, folder string) bool {
	now, err := generation(dir)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return now != folder
}

// read reads the files in folder. Errors name them as they are seen in dir.
func (k Keys) read(dir, folder string) (Token, error) {
	token := Token{tokenType: defaultType, header: k.Header}
	var value, authorization, expiresAt string
	for _, file := range []struct {
		name  string
		into  *string
		valid func(string) bool
	}{
		{k.Token, &value, isWord},
		{k.Type, &token.tokenType, isWord},
		{k.Authorization, &authorization, isHeaderValue},
		{k.ExpiresAt, &expiresAt, isTime},
	} {
		if file.name == "" {
			continue
		}
		text, err := content(filepath.Join(folder, file.name))
		if err == nil && !file.valid(text) {
			err = ErrMalformed
		}
		if err != nil {
			return Token{}, readError(filepath.Join(dir, file.name), err)
		}
		*file.into = text
	}
	if authorization == "" {
		authorization = token.tokenType + " " + value
	}
	token.value, token.authorization = secret.New(value), secret.New(authorization)
	if expiresAt != "" {
		token.expiresAt, _ = time.Parse(time.RFC3339, expiresAt) // isTime has seen it
	}
	return token, nil
}

// content is what a file holds, without the line break that an editor or echo puts at the end.
func content(path string) (string, error) {
	info, err := os.Stat(path) // before it is opened: that would wait for the writer of a pipe
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", ErrNotRegular
	}
	file, err := os.Open(path) //nolint:gosec // in the folder that the program was told to read
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // nothing was written
	data, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxFileSize {
		return "", ErrTooLong
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}

// isWord tells whether text can be a token or its type: visible ASCII characters.
func isWord(text string) bool {
	return isHeaderValue(text) && !strings.Contains(text, " ")
}

// isHeaderValue tells whether text can be sent: ASCII, and a line break least of all.
func isHeaderValue(text string) bool {
	outside := func(r rune) bool { return r < ' ' || r > '~' }
	return strings.TrimSpace(text) != "" && strings.IndexFunc(text, outside) < 0
}

// isTime does not give time.Parse's error on: that quotes its input, which is the token where keys were confused.
func isTime(text string) bool {
	_, err := time.Parse(time.RFC3339, text)
	return err == nil
}

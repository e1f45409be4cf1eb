package tokenfile

import (
	"errors"
	"fmt"
	"io/fs"
)

var (
	// ErrTooLong says that a file is longer than any token: something else is mounted there.
	ErrTooLong = errors.New("it is longer than 64 KiB")
	// ErrMalformed says that a file does not hold what its name promises: it is empty, or has characters that a header must not have, or
	// is no time in RFC 3339.
	ErrMalformed = errors.New("it does not hold what it should")
	// ErrNotRegular says that a folder, a pipe or a device stands where a file should be.
	ErrNotRegular = errors.New("it is no regular file")
	// ErrJWT is what a Source of JWTs answers as an oauth2.TokenSource: they travel in another header than oauth2 knows. Use a Transport.
	ErrJWT = errors.New("tokenfile: this token is not sent as Authorization, so it cannot be used as an OAuth 2.0 token; use a Transport")
)

// ReadError says which file or folder could not be read, or not be understood. It never holds anything of the content. It wraps ErrTooLong,
// ErrMalformed, ErrNotRegular or the reason that the operating system gives, such as fs.ErrNotExist.
type ReadError struct {
	Path string
	Err  error
}

// Error names the path and the reason.
func (e *ReadError) Error() string {
	return fmt.Sprintf("tokenfile: cannot read %s: %v", e.Path, e.Err)
}

// Unwrap is the reason.
func (e *ReadError) Unwrap() error { return e.Err }

// readError leaves out the path that errors of the os package have, which names the kubelet's folder of the moment.
func readError(path string, err error) *ReadError {
	if inner := new(fs.PathError); errors.As(err, &inner) {
		err = inner.Err
	}
	return &ReadError{Path: path, Err: err}
}

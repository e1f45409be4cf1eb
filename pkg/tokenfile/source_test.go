package tokenfile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/gini-operator/gini-operator/pkg/emulator"
	"github.com/gini-operator/gini-operator/pkg/tokenfile"
	"github.com/gini-operator/gini-operator/pkg/tokenfile/tokenfiletest"
)

var _ oauth2.TokenSource = &tokenfile.Source{}

func TestSourceReadsWhatTheOperatorWrites(t *testing.T) {
	token := current(t, opened(t, mounted(t, "ab+/c=")))
	if token.Reveal() != "ab+/c=" || token.Authorization() != "Bearer ab+/c=" || token.Header() != "Authorization" || token.Type() != "Bearer" ||
		!token.ExpiresAt().Equal(expiry) {
		t.Errorf("%q %q %q %q %s", token.Reveal(), token.Authorization(), token.Header(), token.Type(), token.ExpiresAt())
	}
	if want := emulator.Fingerprint("ab+/c="); token.Fingerprint() != want {
		t.Errorf("fingerprint %q instead of %q", token.Fingerprint(), want)
	}
}

func TestSourceReadsJWTs(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, tokenfiletest.JWT("a.b.c", expiry))
	source := opened(t, dir, tokenfile.WithKeys(tokenfile.JWTKeys()))
	token := current(t, source)
	if token.Reveal() != "a.b.c" || token.Authorization() != "Bearer a.b.c" || token.Header() != "X-JWT-Authorization" || !token.ExpiresAt().Equal(expiry) {
		t.Errorf("%q %q %q %s", token.Reveal(), token.Authorization(), token.Header(), token.ExpiresAt())
	}
	if _, err := source.Token(); !errors.Is(err, tokenfile.ErrJWT) {
		t.Errorf("as an oauth2.TokenSource: %v", err)
	}
}

// A client that reads the file once uses an expired token sooner or later.
func TestR12_2SourceSeesARenewedToken(t *testing.T) {
	dir := mounted(t, "first")
	source := opened(t, dir)
	for i := range 5 {
		want := fmt.Sprintf("token-%d", i)
		renew(t, dir, want)
		if got := current(t, source).Reveal(); got != want {
			t.Errorf("%s instead of %s", got, want)
		}
		if got, err := source.Token(); err != nil || got.AccessToken != want || !got.Expiry.Equal(expiry) || got.Type() != "Bearer" {
			t.Errorf("as an oauth2.Token: %v", err)
		}
	}
}

func TestSourceReadsPlainFiles(t *testing.T) {
	dir := t.TempDir()
	plain(t, dir, tokenfiletest.AccessToken("first", expiry))
	source := opened(t, dir)
	for i := range 20 { // faster than the file system's clock ticks
		want := fmt.Sprintf("token-%02d", i)
		plain(t, dir, tokenfiletest.AccessToken(want+"\n", expiry))
		plain(t, dir, map[string]string{"authorization": "Bearer " + want + "\r\n"})
		if got := current(t, source); got.Reveal() != want || got.Authorization() != "Bearer "+want {
			t.Fatalf("%q instead of %s", got.Reveal(), want)
		}
	}
}

// The files that are seen in dir are links, which may be of two generations when they are read one after the other.
func TestSourceReadsBelowOneGeneration(t *testing.T) {
	dir := mounted(t, "current")
	for _, name := range []string{"access_token", "expires_at", "authorization", "token_type"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	plain(t, dir, tokenfiletest.AccessToken("another", expiry.Add(time.Hour)))
	if got := current(t, opened(t, dir)); got.Reveal() != "current" || !got.ExpiresAt().Equal(expiry) {
		t.Errorf("%s, expires %s", got.Reveal(), got.ExpiresAt())
	}
}

func TestR12_2SourceNeverMixesGenerations(t *testing.T) {
	t.Run("Secret", func(t *testing.T) {
		dir := t.TempDir()
		neverMixes(t, dir, func(data map[string]string) error { return tokenfiletest.Write(dir, data) })
	})
	// In a projected volume, a Secret's files may lie in a folder that is itself a link through ..data.
	t.Run("projected volume", func(t *testing.T) {
		volume := t.TempDir()
		dir := filepath.Join(volume, "gini")
		if err := os.Symlink(filepath.Join("..data", "gini"), dir); err != nil {
			t.Fatal(err)
		}
		n, former := 0, ""
		neverMixes(t, dir, func(data map[string]string) error {
			n++
			generation := fmt.Sprintf("..2026_%d", n)
			folder := filepath.Join(volume, generation, "gini")
			if err := os.MkdirAll(folder, 0o700); err != nil {
				return err
			}
			plain(t, folder, data)
			if err := errors.Join(
				os.Symlink(generation, filepath.Join(volume, "..data_tmp")),
				os.Rename(filepath.Join(volume, "..data_tmp"), filepath.Join(volume, "..data")),
			); err != nil {
				return err
			}
			gone := former
			if former = filepath.Join(volume, generation); gone == "" {
				return nil
			}
			return os.RemoveAll(gone)
		})
	})
}

// neverMixes reads the token in dir while others are put there, one after the other, as fast as can be.
func neverMixes(t *testing.T, dir string, write func(data map[string]string) error) {
	t.Helper()
	const swaps, readers = 500, 4
	put := func(n int) error {
		return write(tokenfiletest.AccessToken(fmt.Sprintf("token-%d", n), expiry.Add(time.Duration(n)*time.Second)))
	}
	if err := put(0); err != nil {
		t.Fatal(err)
	}
	source := opened(t, dir)
	var written atomic.Bool
	var readersDone sync.WaitGroup
	for range readers {
		readersDone.Go(func() {
			for reads, last := 0, 0; ; reads++ {
				lastTime := written.Load()
				// The readers share a source, and have one of their own that has nothing to compare with.
				for _, read := range []func() (tokenfile.Token, error){source.Current, func() (tokenfile.Token, error) {
					fresh, err := tokenfile.Open(dir)
					if err != nil {
						return tokenfile.Token{}, err
					}
					return fresh.Current()
				}} {
					token, err := read()
					if err != nil {
						t.Errorf("after %d reads: %v", reads, err)
						return
					}
					n := int(token.ExpiresAt().Sub(expiry) / time.Second)
					if want := fmt.Sprintf("token-%d", n); token.Reveal() != want || token.Authorization() != "Bearer "+want {
						t.Errorf("%s with the expiry of %s", token.Reveal(), want)
						return
					}
					if n < last {
						t.Errorf("token %d after token %d", n, last)
						return
					}
					last = n
				}
				if lastTime {
					if last != swaps {
						t.Errorf("the last token read is %d", last)
					}
					return
				}
			}
		})
	}
	for n := range swaps {
		if err := put(n + 1); err != nil {
			t.Error(err)
			break
		}
	}
	written.Store(true)
	readersDone.Wait()
}

const leaked = "l3aked-t0ken"

func TestErrorsAreTypedAndShowNoToken(t *testing.T) {
	whole := func(changed map[string]string) map[string]string {
		data := tokenfiletest.AccessToken(leaked, expiry)
		for name, text := range changed {
			data[name] = text
			if text == "" {
				delete(data, name)
			}
		}
		return data
	}
	for name, test := range map[string]struct {
		data map[string]string
		path string
		want error
	}{
		"no token":          {whole(map[string]string{"access_token": ""}), "access_token", fs.ErrNotExist},
		"no expiry":         {whole(map[string]string{"expires_at": ""}), "expires_at", fs.ErrNotExist},
		"no header":         {whole(map[string]string{"authorization": ""}), "authorization", fs.ErrNotExist},
		"confused keys":     {whole(map[string]string{"expires_at": leaked}), "expires_at", tokenfile.ErrMalformed},
		"empty token":       {whole(map[string]string{"access_token": "\n"}), "access_token", tokenfile.ErrMalformed},
		"blank header":      {whole(map[string]string{"authorization": " "}), "authorization", tokenfile.ErrMalformed},
		"two lines":         {whole(map[string]string{"authorization": leaked + "\n" + leaked}), "authorization", tokenfile.ErrMalformed},
		"a second header":   {whole(map[string]string{"authorization": leaked + "\r\nX: y"}), "authorization", tokenfile.ErrMalformed},
		"a control":         {whole(map[string]string{"access_token": leaked + "\x00"}), "access_token", tokenfile.ErrMalformed},
		"a space":           {whole(map[string]string{"access_token": "Bearer " + leaked}), "access_token", tokenfile.ErrMalformed},
		"not ASCII":         {whole(map[string]string{"access_token": leaked + "ü"}), "access_token", tokenfile.ErrMalformed},
		"two words as type": {whole(map[string]string{"token_type": leaked + " " + leaked}), "token_type", tokenfile.ErrMalformed},
		"just too long":     {whole(map[string]string{"access_token": strings.Repeat("a", 64<<10+1)}), "access_token", tokenfile.ErrTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, test.data)
			_, err := tokenfile.Open(dir)
			var read *tokenfile.ReadError
			if !errors.As(err, &read) || !errors.Is(err, test.want) || read.Path != filepath.Join(dir, test.path) {
				t.Errorf("%v, want %v of %s", err, test.want, test.path)
			}
			for _, printed := range []string{fmt.Sprint(err), fmt.Sprintf("%+v %#v", err, err), fmt.Sprintf("%#v", read)} {
				if strings.Contains(printed, leaked) {
					t.Errorf("the error shows the token: %s", printed)
				}
			}
		})
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	plain(t, dir, tokenfiletest.AccessToken("t", expiry))
	path := filepath.Join(dir, "authorization")
	for name, replace := range map[string]func() error{
		"folder": func() error { return os.Mkdir(path, 0o700) },
		"pipe":   func() error { return syscall.Mkfifo(path, 0o600) },
	} {
		if err := errors.Join(os.Remove(path), replace()); err != nil {
			t.Fatal(err)
		}
		if _, err := tokenfile.Open(dir); !errors.Is(err, tokenfile.ErrNotRegular) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := tokenfile.Open(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

func TestOpenRefusesKeysThatLeaveTheFolder(t *testing.T) {
	dir := mounted(t, "t")
	for _, keys := range []tokenfile.Keys{
		{}, {Token: "access_token"}, {Header: "Authorization"},
		{Token: "../access_token", Header: "Authorization"}, {Token: "/etc/passwd", Header: "Authorization"},
		{Token: "..data", Header: "Authorization"}, {Token: "access_token", ExpiresAt: "a/b", Header: "Authorization"},
	} {
		if _, err := tokenfile.Open(dir, tokenfile.WithKeys(keys)); err == nil {
			t.Errorf("%+v is taken", keys)
		}
	}
}

func TestKeysWithoutTheOptionalOnes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"GINI_TOKEN": "abc"})
	token := current(t, opened(t, dir, tokenfile.WithKeys(tokenfile.Keys{Token: "GINI_TOKEN", Header: "Authorization"})))
	if token.Authorization() != "Bearer abc" || !token.ExpiresAt().IsZero() {
		t.Errorf("%q, %s", token.Authorization(), token.ExpiresAt())
	}
}

// The Secret may go and come back while the pod runs: with optional: true the kubelet empties the folder.
func TestSourceRecovers(t *testing.T) {
	dir := mounted(t, "first")
	source := opened(t, dir)
	write(t, dir, nil)
	if _, err := source.Current(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of an empty folder: %v", err)
	}
	renew(t, dir, "second")
	if got := current(t, source).Reveal(); got != "second" {
		t.Errorf("%s instead of the second token", got)
	}
}

func BenchmarkCurrent(b *testing.B) {
	dir := b.TempDir()
	if err := tokenfiletest.Write(dir, tokenfiletest.AccessToken("t", expiry)); err != nil {
		b.Fatal(err)
	}
	source, err := tokenfile.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := source.Current(); err != nil {
			b.Fatal(err)
		}
	}
}

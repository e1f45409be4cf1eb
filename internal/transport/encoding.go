package transport

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
)

// What keeps a body from being read, in constant words.
const (
	tooLarge        = "the body is too large"
	unknownEncoding = "the body has a Content-Encoding that was not asked for and is not known here: let the server, or the proxy before it, send it without"
	badEncoding     = "the body is not in the Content-Encoding that its header names"
)

// plain undoes the Content-Encoding that some servers and proxies choose though none was asked for (RFC 9110, 8.4), and reads
// no more than MaxBody of what comes out of it. problem is constant text.
func plain(header http.Header, content []byte) (body []byte, problem string) {
	var reader io.Reader
	var err error
	switch encodingOf(header) {
	case "":
		return content, ""
	case "gzip", "x-gzip":
		reader, err = gzip.NewReader(bytes.NewReader(content))
	case "deflate":
		reader, err = zlib.NewReader(bytes.NewReader(content))
	default:
		return nil, unknownEncoding
	}
	if len(content) == 0 {
		return nil, ""
	}
	if err != nil {
		return nil, badEncoding
	}
	if body, err = io.ReadAll(io.LimitReader(reader, MaxBody+1)); err != nil {
		return nil, badEncoding
	}
	return body, ""
}

// encodingOf names the encodings of a body, but for those that are none.
func encodingOf(header http.Header) string {
	var encodings []string
	for value := range strings.SplitSeq(strings.Join(header.Values("Content-Encoding"), ","), ",") {
		if value = strings.ToLower(strings.TrimSpace(value)); value != "" && value != "identity" {
			encodings = append(encodings, value)
		}
	}
	return strings.Join(encodings, ",")
}

package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// byteOrderMark may stand before JSON, though it should not (RFC 8259, 8.1).
var byteOrderMark = []byte("\xef\xbb\xbf")

// Object is the JSON object of an answer. Its names are taken as they are written: encoding/json would read Access_Token
// into a field that is called access_token.
type Object map[string]json.RawMessage

// ParseObject reads a JSON object, maybe after a byte-order mark. A name that stands in it twice says nothing: which of the
// two values is meant, nobody knows.
func ParseObject(content []byte) (Object, bool) {
	content = bytes.TrimPrefix(content, byteOrderMark)
	if !json.Valid(content) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return nil, false
	}
	object := Object{}
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		var value json.RawMessage
		if err != nil || !ok || decoder.Decode(&value) != nil {
			return nil, false // cannot be: it is valid
		}
		if _, twice := object[name]; twice {
			value = nil
		}
		object[name] = value
	}
	return object, true
}

// nothing are the words that programs write where they have no value.
var nothing = []string{"", "null", "nil", "none", "undefined", "nan"}

// SaysNothing reports whether a text is empty, blank, or a word for nothing.
func SaysNothing(text string) bool {
	text = strings.TrimSpace(text)
	return slices.ContainsFunc(nothing, func(word string) bool { return strings.EqualFold(word, text) })
}

// Text is a member that is a string and says something.
func (o Object) Text(name string) (string, bool) {
	var text string
	if raw := o[name]; len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &text) != nil || SaysNothing(text) {
		return "", false
	}
	return text, true
}

// Says reports whether a member says anything: false where it is absent, null, or a string that says nothing.
func (o Object) Says(name string) bool {
	raw := o[name]
	if len(raw) > 0 && raw[0] == '"' {
		_, ok := o.Text(name)
		return ok
	}
	return len(raw) > 0 && string(raw) != "null"
}

// ParseNumber reads a number as JSON writes it: ParseFloat alone would also take NaN, infinities and hexadecimal. One that is out
// of range is an infinity, for the caller to cap.
func ParseNumber(text string) (float64, bool) {
	if text == "" || !strings.ContainsRune("-0123456789", rune(text[0])) || !json.Valid([]byte(text)) {
		return 0, false
	}
	number, err := strconv.ParseFloat(text, 64)
	return number, err == nil || errors.Is(err, strconv.ErrRange)
}

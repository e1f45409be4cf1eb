package secret

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"
)

const byteOrderMark = '\ufeff'

// Oddities says what looks odd about a value that somebody else refuses: marks that editors, documents and shells leave behind, and
// that people do not see. It tells kinds and places, and never a character of the value: "begins with a byte-order mark and ends
// in a blank". Empty where nothing does. A value may be right all the same, so it is sent as it is.
func Oddities(value string) string {
	var odd []string
	inner, marked := strings.CutPrefix(value, string(byteOrderMark))
	if marked {
		odd = append(odd, "begins with a byte-order mark")
	}
	trimmed := strings.TrimFunc(inner, blank)
	first, _ := utf8.DecodeRuneInString(inner)
	last, _ := utf8.DecodeLastRuneInString(inner)
	switch {
	case inner == "":
	case trimmed == "":
		odd = append(odd, "is blank")
	default:
		if blank(first) {
			odd = append(odd, "begins with "+kindOf(first))
		}
		if blank(last) {
			odd = append(odd, "ends in "+kindOf(last))
		}
	}
	switch {
	case enclosed(trimmed, quotes):
		odd = append(odd, "is wrapped in quotes")
	case enclosed(trimmed, placeholders):
		odd = append(odd, "looks like a placeholder")
	case twiceEncoded(trimmed):
		odd = append(odd, "looks Base64-encoded once too often")
	}
	seen := map[string]bool{}
	for _, r := range trimmed {
		if kind := kindOf(r); kind != "" && !seen[kind] {
			seen[kind] = true
			odd = append(odd, "holds "+kind)
		}
	}
	if len(odd) < 2 {
		return strings.Join(odd, "")
	}
	return strings.Join(odd[:len(odd)-1], ", ") + " and " + odd[len(odd)-1]
}

// Named is a value and what people call it.
type Named struct{ Name, Value string }

// Remark says what looks odd about several values: "the client secret ends in a blank; the client id is wrapped in quotes".
func Remark(values ...Named) string {
	var remarks []string
	for _, value := range values {
		if odd := Oddities(value.Value); odd != "" {
			remarks = append(remarks, value.Name+" "+odd)
		}
	}
	return strings.Join(remarks, "; ")
}

func blank(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// kindOf is what people call an odd character; empty for one that is not odd.
func kindOf(r rune) string {
	switch {
	case r == ' ':
		return "a blank"
	case r == '\u00a0', r == '\u2007', r == '\u202f':
		return "a no-break space"
	case r == '\u200b', r == byteOrderMark:
		return "a zero-width space"
	case unicode.IsSpace(r):
		return "an unusual blank"
	case unicode.Is(unicode.Cf, r): // joiners, soft hyphens, marks of direction
		return "an invisible character"
	case r >= utf8.RuneSelf:
		return "a character that is not ASCII"
	}
	return ""
}

// quotes and placeholders are what opens and closes a value.
var (
	quotes       = [][2]string{{`"`, `"`}, {"'", "'"}, {"`", "`"}, {"“", "”"}, {"„", "“"}, {"‘", "’"}, {"‚", "‘"}, {"«", "»"}, {"»", "«"}}
	placeholders = [][2]string{{"<", ">"}, {"${", "}"}, {"$(", ")"}, {"{{", "}}"}}
)

func enclosed(value string, pairs [][2]string) bool {
	for _, pair := range pairs {
		if len(value) >= len(pair[0])+len(pair[1]) && strings.HasPrefix(value, pair[0]) && strings.HasSuffix(value, pair[1]) {
			return true
		}
	}
	return false
}

// twiceEncoded reports whether a value is Base64 of text: what is random decodes to something else.
func twiceEncoded(value string) bool {
	decoded, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(decoded) < 6 {
		return false
	}
	for _, b := range decoded {
		if (b < ' ' || b > '~') && b != '\n' && b != '\r' {
			return false
		}
	}
	return true
}

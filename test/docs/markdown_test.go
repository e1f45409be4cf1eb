// Package docs_test holds the documentation against the code: its YAML against the API server, its tables against the constants.
package docs_test

import (
	"regexp"
	"strings"
)

// block is a fenced code block of a page.
type block struct {
	line     int
	language string
	text     string
}

var fence = regexp.MustCompile("(?m)^[ ]*```(.*)$")

// blocks finds the code blocks of a page.
func blocks(page string) (found []block) {
	marks := fence.FindAllStringSubmatchIndex(page, -1)
	for i := 0; i+1 < len(marks); i += 2 {
		begin, end := marks[i], marks[i+1]
		found = append(found, block{
			line:     strings.Count(page[:begin[0]], "\n") + 1,
			language: page[begin[2]:begin[3]],
			text:     strings.TrimPrefix(page[begin[1]:end[0]], "\n"),
		})
	}
	return found
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile("[^a-z0-9 _-]")
)

// withoutBlocks is a page without its code blocks, in which nothing is a link or a heading.
func withoutBlocks(page string) string {
	marks := fence.FindAllStringIndex(page, -1)
	for i := len(marks) - 1; i > 0; i -= 2 {
		page = page[:marks[i-1][0]] + page[marks[i][1]:]
	}
	return page
}

// links are the targets of a page's links.
func links(page string) (targets []string) {
	for _, match := range link.FindAllStringSubmatch(withoutBlocks(page), -1) {
		targets = append(targets, match[1])
	}
	return targets
}

// anchors are the names by which a page's headings can be linked to, as GitHub makes them.
func anchors(page string) map[string]bool {
	names := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(withoutBlocks(page), -1) {
		names[strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-")] = true
	}
	return names
}

package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// printer writes lines for people, from any goroutine.
type printer struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
}

func newPrinter(out io.Writer, start time.Time) *printer { return &printer{out: out, start: start} }

// say writes one line behind the seconds since the start.
func (p *printer) say(format string, args ...any) {
	p.write(fmt.Sprintf("%5.0f s  %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...)))
}

// show writes a text as it is, between empty lines.
func (p *printer) show(text string) { p.write("\n" + strings.TrimRight(text, "\n") + "\n\n") }

// line writes one line as it is.
func (p *printer) line(text string) { p.write(text + "\n") }

func (p *printer) write(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(p.out, text)
}

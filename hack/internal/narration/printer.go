// Package narration writes what programs tell the people who watch them.
package narration

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Printer writes lines for people, from any goroutine.
type Printer struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
}

// New makes a printer whose times count from start.
func New(out io.Writer, start time.Time) *Printer { return &Printer{out: out, start: start} }

// Say writes one line behind the seconds since the start.
func (p *Printer) Say(format string, args ...any) {
	p.write(fmt.Sprintf("%5.0f s  %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...)))
}

// Show writes a text as it is, between empty lines.
func (p *Printer) Show(text string) { p.write("\n" + strings.TrimRight(text, "\n") + "\n\n") }

// Line writes one line as it is.
func (p *Printer) Line(text string) { p.write(text + "\n") }

func (p *Printer) write(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(p.out, text)
}

// Start is when times begin.
func (p *Printer) Start() time.Time { return p.start }

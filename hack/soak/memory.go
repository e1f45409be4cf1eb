package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// warmUp is what a process needs after its start until it has loaded what it uses: caches, connections, its own code.
const warmUp = 25 * time.Second

// measure takes a sample of the memory of each process that runs.
func (o *operators) measure() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.places {
		if p == nil || p.frozen {
			continue
		}
		if bytes, err := resident(p.PID()); err == nil {
			p.memory = append(p.memory, sample{at: time.Now(), bytes: bytes})
		}
	}
}

// resident is the resident memory of a process, on Linux.
func resident(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no resident memory", pid)
}

// growth is by how many percent the memory of the process grew that lived the longest, from the first fifth of its life after the warm-up
// to the last fifth: medians, as the collector of garbage lets it go up and down. ok is false where nobody lived long enough.
func (o *operators) growth() (percent float64, of string, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.all) == 0 {
		return 0, "", false
	}
	longest := slices.MaxFunc(o.all, func(a, b *process) int { return cmp.Compare(len(a.memory), len(b.memory)) })
	percent, from, to, ok := grown(longest.started, longest.memory)
	if !ok {
		return 0, "", false
	}
	lived := longest.memory[len(longest.memory)-1].at.Sub(longest.started)
	return percent, fmt.Sprintf("operator %s (process %d), which lived %.0f s: %.1f MiB, then %.1f MiB",
		longest.name, longest.PID(), lived.Seconds(), float64(from)/(1<<20), float64(to)/(1<<20)), true
}

func grown(started time.Time, memory []sample) (percent float64, from, to int64, ok bool) {
	warm := slices.IndexFunc(memory, func(s sample) bool { return s.at.Sub(started) >= warmUp })
	if warm < 0 || len(memory)-warm < 10 {
		return 0, 0, 0, false
	}
	memory = memory[warm:]
	fifth := len(memory) / 5
	from, to = median(memory[:fifth]), median(memory[len(memory)-fifth:])
	return 100 * float64(to-from) / float64(from), from, to, true
}

func median(memory []sample) int64 {
	sorted := slices.SortedFunc(slices.Values(memory), func(a, b sample) int { return cmp.Compare(a.bytes, b.bytes) })
	return sorted[len(sorted)/2].bytes
}

package views

import (
	"encoding/json"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// frame is one event of a watch, and when it may be told.
type frame struct {
	content json.RawMessage
	due     time.Time
}

// stream passes on the events of a watch: late, or not at all.
func (p *proxy) stream(w http.ResponseWriter, r *http.Request, response *http.Response) {
	frames, ended := make(chan frame, 10_000), make(chan struct{})
	defer close(ended)
	go func() {
		defer close(frames)
		events := json.NewDecoder(response.Body)
		for number := 0; ; {
			var content json.RawMessage
			if events.Decode(&content) != nil {
				return
			}
			due, told := p.judge(content, number)
			if !isBookmark(content) {
				number++
			}
			if !told {
				continue
			}
			select {
			case frames <- frame{content: content, due: due}:
			case <-ended:
				return
			}
		}
	}()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	p.mu.Lock()
	expiry := p.expiry
	p.mu.Unlock()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-expiry:
			gone, _ := json.Marshal(map[string]any{"type": "ERROR", "object": statusOf(http.StatusGone, metav1.StatusReasonExpired)})
			_, _ = w.Write(append(gone, '\n'))
			_ = flush.Flush()
			return
		case next, ok := <-frames:
			if !ok || !p.awaits(r, next.due, expiry) {
				return
			}
			_, _ = w.Write(append(next.content, '\n'))
			_ = flush.Flush()
		}
	}
}

// judge says when an event may be told, and whether it is at all.
func (p *proxy) judge(content json.RawMessage, number int) (due time.Time, told bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clock != nil {
		due = p.clock.Now().Add(p.lag)
	}
	return due, isBookmark(content) || p.dropped == nil || !p.dropped(number)
}

// awaits blocks until an instant, and reports whether the watch goes on. One that expires meanwhile ends without a word.
func (p *proxy) awaits(r *http.Request, due time.Time, expiry <-chan struct{}) bool {
	if p.clock == nil {
		return true
	}
	wait := due.Sub(p.clock.Now())
	if wait <= 0 {
		return true
	}
	timer := p.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-r.Context().Done():
		return false
	case <-expiry:
		return false
	}
}

func isBookmark(content json.RawMessage) bool {
	var event struct {
		Type string `json:"type"`
	}
	return json.Unmarshal(content, &event) == nil && event.Type == "BOOKMARK"
}

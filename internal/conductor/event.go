package conductor

import (
	"sync"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
)

// EventKind is what an Event tells.
type EventKind string

// The kinds of events.
const (
	RunStarted   EventKind = "run.started"   // Run, Text: isolation level
	Note         EventKind = "note"          // Text: something worth a line
	StageStarted EventKind = "stage.started" // Stage, Zone
	StageLine    EventKind = "stage.line"    // Stage, Text: its newest line of output, made harmless
	StageCount   EventKind = "stage.count"   // Stage, Done of Total packages fetched
	StageEnded   EventKind = "stage.ended"   // Record
	Denied       EventKind = "denied"        // Denial
)

// Event is one step of progress.
type Event struct {
	Kind        EventKind
	Run         string
	Stage       string
	Zone        boundary.Zone
	Text        string
	Done, Total int
	Record      *evidence.Stage
	Denial      *evidence.Denial
}

// events calls the listener from one goroutine at a time.
type events struct {
	mu   sync.Mutex
	tell func(Event)
}

func newEvents(tell func(Event)) *events { return &events{tell: tell} }

func (e *events) emit(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tell != nil {
		e.tell(ev)
	}
}

// close ends the calls: nothing is told once Run has returned.
func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tell = nil
}

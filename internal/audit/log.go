package audit

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// Loss is why a line was not written. It is a closed set: metrics are labelled by
// it.
type Loss string

const (
	// LossRate: there were too many refusals at once.
	LossRate Loss = "Rate"
	// LossQueue: more came than could be written, or it came after the end.
	LossQueue Loss = "Queue"
	// LossWrite: the file or standard output did not take it.
	LossWrite Loss = "Write"
)

// Losses are all of them.
func Losses() []Loss { return []Loss{LossRate, LossQueue, LossWrite} }

// mostQueued is how many lines wait to be written at most: a second of a busy
// verifier, in a few megabytes.
const mostQueued = 8192

// Options are what a Log is made of.
type Options struct {
	// Path is the file to append to. Empty or - is standard output.
	Path string

	// Reopen makes the file be opened anew, so that it can be moved away: SIGHUP.
	// Nil means never.
	Reopen <-chan os.Signal

	// Clock tells the time of events.
	Clock clock.PassiveClock

	// Lost is told of each line that was not written. It must not block. Nil is
	// silent.
	Lost func(Loss)

	// Errors is told of what cannot be written or opened, once a minute at most.
	Errors logr.Logger
}

// Log is an audit log. A nil Log writes nothing. It is safe for concurrent use.
type Log struct {
	options Options
	file    *file
	handler slog.Handler
	tell    *rate.Limiter

	guesses, refusals budget

	queue  chan event
	mu     sync.RWMutex // held to write by Close only
	closed bool
	done   chan struct{}
}

// Open opens an audit log and writes until Close. It fails where the file cannot
// be opened.
func Open(options Options) (*Log, error) {
	if options.Lost == nil {
		options.Lost = func(Loss) {}
	}
	file, err := openFile(options.Path)
	if err != nil {
		return nil, err
	}
	l := &Log{
		options: options, file: file, handler: newHandler(file), tell: rate.NewLimiter(rate.Every(time.Minute), 1),
		queue: make(chan event, mostQueued), done: make(chan struct{}),
	}
	l.guesses.rate, l.refusals.rate = rate.NewLimiter(guessesPerSecond, guessesAtOnce), rate.NewLimiter(refusalsPerSecond, refusalsAtOnce)
	go l.run() // until Close: what happened is written, however the program is told to end
	return l, nil
}

// Close writes what is queued and closes the file. What comes later is lost, and
// counted.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.queue)
	l.mu.Unlock()
	<-l.done
	return l.file.close()
}

// put queues an event. It never waits for the file, and needs no context: what
// happened is written, however the request ended.
func (l *Log) put(e event) {
	if l == nil {
		return
	}
	if e.at.IsZero() {
		e.at = l.options.Clock.Now()
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !l.closed {
		select {
		case l.queue <- e:
			return
		default:
		}
	}
	l.options.Lost(LossQueue)
}

func (l *Log) run() {
	defer close(l.done)
	for {
		select {
		case e, more := <-l.queue:
			if !more {
				return
			}
			if err := e.write(context.Background(), l.handler); err != nil {
				l.options.Lost(LossWrite)
				l.complain(err, "a line of the audit log was not written")
			}
		case <-l.options.Reopen:
			if err := l.file.reopen(); err != nil {
				l.complain(err, "the audit log was not opened anew, the file before is written on")
			}
		}
	}
}

func (l *Log) complain(err error, what string) {
	if l.tell.AllowN(l.options.Clock.Now(), 1) {
		l.options.Errors.Error(err, what, "path", l.options.Path)
	}
}

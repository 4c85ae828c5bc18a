package main

import (
	"fmt"
	"os"
	"time"
)

const (
	// On a terminal one line counts the seconds; in a log a line now and then
	// shows that something is still going on.
	terminalTick = time.Second
	logTick      = 30 * time.Second
)

type stopwatch struct{ start time.Time }

func begin() stopwatch { return stopwatch{time.Now()} }

func (s stopwatch) elapsed() time.Duration { return time.Since(s.start).Round(time.Second) }

// withProgress shows label and the seconds gone while work runs.
func withProgress(label string, work func() error) error {
	terminal := isTerminal(os.Stdout)
	tick := logTick
	if terminal {
		tick = terminalTick
	} else {
		fmt.Println(label)
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	watch := begin()
	done := make(chan error, 1)
	go func() { done <- work() }()
	for {
		select {
		case err := <-done:
			report(terminal, label, watch, err)
			return err
		case <-ticker.C:
			if terminal {
				fmt.Printf("\r%s %s ", label, watch.elapsed())
			} else {
				fmt.Printf("%s: %s so far\n", label, watch.elapsed())
			}
		}
	}
}

func report(terminal bool, label string, watch stopwatch, err error) {
	if terminal {
		fmt.Print("\r")
	}
	if err != nil {
		fmt.Printf("%s stopped after %s\n", label, watch.elapsed())
		return
	}
	fmt.Printf("%s took %s\n", label, watch.elapsed())
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

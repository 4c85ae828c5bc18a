package audit

import (
	"fmt"
	"os"
)

// Stdout is the path of standard output.
const Stdout = "-"

// file is where lines go. One goroutine uses it.
type file struct {
	path string
	to   *os.File
	torn bool // the last line was written in part
}

func openFile(path string) (*file, error) {
	if path == "" {
		path = Stdout
	}
	f := &file{path: path}
	return f, f.reopen()
}

// reopen opens the file of the path, which may be another than before, and lets
// go of the one before. If it cannot, that one is written on.
func (f *file) reopen() error {
	if f.path == Stdout {
		f.to = os.Stdout
		return nil
	}
	// Lines name people and addresses: nobody else reads them.
	to, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	before := f.to
	f.to, f.torn = to, false
	if before != nil {
		_ = before.Close() // what was written is written
	}
	return nil
}

// Write writes a line. After one that a full disk cut off, it begins on a new
// line, so that one is lost and not two.
func (f *file) Write(line []byte) (int, error) {
	if f.torn {
		if _, err := f.to.WriteString("\n"); err != nil {
			return 0, err
		}
		f.torn = false
	}
	n, err := f.to.Write(line)
	f.torn = err != nil && n > 0
	return n, err
}

func (f *file) close() error {
	if f.path == Stdout {
		return nil
	}
	return f.to.Close()
}
